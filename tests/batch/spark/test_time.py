"""Event times in Spark: the answer of the reference to every value, under every shape."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from pyspark.sql import functions as F

from support.event_times import CASES, NEW_YORK, local
from truetape.batch.spark.time import event_time
from truetape.market.event_time import Shape, TimeSpec, parse
from truetape.market.rejection import Reason, Refused

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark

SPECS = list(dict.fromkeys(case.spec for case in CASES))
DAYS = (date(2026, 11, 1), date(2026, 3, 8), date(2013, 10, 7))
ZONES = (
    NEW_YORK, "Europe/London", "Europe/Dublin", "Australia/Lord_Howe", "Antarctica/Troll",
    "America/Sao_Paulo", "Pacific/Apia", "Pacific/Kwajalein",
)  # fmt: skip
YEARS = (1990, 2037)
"""Python and the JVM bring their own time zone databases; in these years and zones all agree."""

Answer = tuple[int | None, str | None]
Question = tuple[str | None, date | None]


def reference(spec: TimeSpec, raw: str | None, day: date | None) -> Answer:
    """Return what Spark must answer."""
    got = Refused(Reason.MISSING_FIELD, "") if raw is None else parse(raw, spec, day)
    return (None, got.reason.value) if isinstance(got, Refused) else (got, None)


def in_spark(
    spark: "SparkSession", specs: Sequence[TimeSpec], asked: Sequence[Question]
) -> list[dict[TimeSpec, Answer]]:
    """Return Spark's answers to each question under each shape."""
    frame = spark.createDataFrame(list(asked), "raw string, day date").coalesce(1).cache()
    answers: list[dict[TimeSpec, Answer]] = [{} for _ in asked]
    for spec in specs:
        time = event_time(F.col("raw"), spec, F.col("day") if spec.needs_day else None)
        for row, found in zip(frame.select(time.alias("t")).collect(), answers, strict=True):
            found[spec] = (row.t.ns, row.t.reason)
    frame.unpersist()
    return answers


def differences(
    spark: "SparkSession", specs: Sequence[TimeSpec], asked: Iterable[Question]
) -> list[str]:
    """Return where Spark and the reference disagree, in words."""
    questions = list(dict.fromkeys(asked))
    found = in_spark(spark, specs, questions)
    return [
        f"{spec} {raw!r} {day}: {answer} in Spark, {reference(spec, raw, day)} in Python"
        for (raw, day), answers in zip(questions, found, strict=True)
        for spec, answer in answers.items()
        if answer != reference(spec, raw, day)
    ]


def test_every_value_of_the_table_is_answered_as_it_says(spark: "SparkSession") -> None:
    for spec in SPECS:
        mine = [case for case in CASES if case.spec == spec]
        found = in_spark(spark, [spec], [(case.raw, case.day) for case in mine])

        wrong = {
            str(case): answers[spec]
            for case, answers in zip(mine, found, strict=True)
            if answers[spec]
            != ((case.want, None) if type(case.want) is int else (None, str(case.want)))
        }
        assert not wrong


def test_every_value_of_the_table_is_answered_alike_under_every_shape(
    spark: "SparkSession",
) -> None:
    values = dict.fromkeys((None, *(case.raw for case in CASES)))

    assert not differences(spark, SPECS, ((raw, day) for raw in values for day in (None, DAYS[0])))


EDITS = st.lists(
    st.tuples(
        st.integers(0, 40),
        st.sampled_from(("insert", "replace", "delete", "swap")),
        st.sampled_from("0123456789-+:.,/TtZz eE\n\r\x00\\$%é٣\u2212\u017f😀"),
    ),
    max_size=2,
)
TAKEN = sorted({case.raw for case in CASES if type(case.want) is int})
REGEX_LIKE = st.from_regex(
    r"\A([0-9]{4}-?[0-9]{2}-?[0-9]{2}[Tt -][0-9]{2}:?[0-9]{2}(:?[0-9]{2}([.,][0-9]{1,10})?)?"
    r"(Z|[+-][0-9]{2}:?([0-9]{2})?)?|-?[0-9]{1,20}(\.[0-9]{1,12})?)\Z"
)


def edited(raw: str, edits: Sequence[tuple[int, str, str]]) -> str:
    for place, edit, char in edits:
        at = place % (len(raw) + 1)
        match edit:
            case "insert":
                raw = raw[:at] + char + raw[at:]
            case "replace":
                raw = raw[:at] + char + raw[at + 1 :]
            case "delete":
                raw = raw[:at] + raw[at + 1 :]
            case _:
                raw = raw[:at] + raw[at : at + 2][::-1] + raw[at + 2 :]
    return raw


def test_generated_values_are_answered_alike_under_every_shape(spark: "SparkSession") -> None:
    asked: set[Question] = set()
    text = st.text(st.characters(codec="utf-8"), max_size=30)

    @settings(max_examples=1_500, phases=[Phase.generate], database=None, deadline=None)
    @given(st.sampled_from(TAKEN), EDITS, REGEX_LIKE, text, st.sampled_from(DAYS))
    def collect(
        taken: str, edits: list[tuple[int, str, str]], like: str, text: str, day: date
    ) -> None:
        asked.update((raw, day) for raw in (edited(taken, edits), like, text))

    collect()

    assert not differences(spark, SPECS, asked)


def changes_of(zone: ZoneInfo) -> list[datetime]:
    """Return the instants at which a zone's offset changes, to the second."""
    found = []
    step = timedelta(hours=12)
    moment = datetime(YEARS[0], 1, 1, tzinfo=UTC)
    while moment.year < YEARS[1]:
        low, high = moment, moment + step
        if low.astimezone(zone).utcoffset() != high.astimezone(zone).utcoffset():
            while high - low > timedelta(seconds=1):
                middle = low + timedelta(seconds=(high - low) // timedelta(seconds=2))
                same = middle.astimezone(zone).utcoffset() == low.astimezone(zone).utcoffset()
                low, high = (middle, high) if same else (low, middle)
            found.append(high)
        moment += step
    return found


@pytest.mark.parametrize("name", ZONES)
def test_readings_around_every_change_of_clocks_are_answered_alike(
    spark: "SparkSession", name: str
) -> None:
    zone = ZoneInfo(name)
    shown = {
        (change + timedelta(seconds=near)).astimezone(zone).replace(tzinfo=None)
        + timedelta(minutes=away)
        for change in changes_of(zone)
        for near in (-1, 0)
        for away in (-121, -61, -60, -31, -30, -1, 0, 1, 29, 30, 59, 60, 61, 120)
    }
    asked = [(f"{clock:%Y-%m-%dT%H:%M:%S}", None) for clock in sorted(shown)]

    assert asked
    assert not differences(spark, [local(name)], asked)


def test_the_answer_is_one_struct_with_exactly_one_part(spark: "SparkSession") -> None:
    frame = spark.createDataFrame([(case.raw,) for case in CASES] + [(None,)], "raw string")
    time = event_time(F.col("raw"), TimeSpec(Shape.ISO8601)).alias("time")
    answers = frame.select(time)

    assert answers.schema["time"].dataType.simpleString() == "struct<ns:bigint,reason:string>"
    both = F.col("time.ns").isNull() == F.col("time.reason").isNull()
    assert answers.where(both).count() == 0


def test_the_expression_serves_as_filter_and_inside_a_lambda(spark: "SparkSession") -> None:
    mine = [case for case in CASES if case.spec.shape is Shape.ISO8601]
    frame = spark.createDataFrame([([case.raw for case in mine],)], "raws array<string>")
    spec = TimeSpec(Shape.ISO8601)

    times = frame.select(F.transform("raws", lambda raw: event_time(raw, spec)).alias("times"))
    kept = frame.select(F.explode("raws").alias("raw")).where(
        event_time(F.col("raw"), spec)["ns"].isNotNull()
    )

    (row,) = times.collect()
    assert [(time.ns, time.reason) for time in row.times] == [
        reference(spec, case.raw, None) for case in mine
    ]
    assert kept.count() == sum(type(case.want) is int for case in mine)
