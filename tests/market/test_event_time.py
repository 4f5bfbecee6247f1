"""Event times: every raw value gives an instant or a reason, and never raises."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from support.build import SECOND, at
from support.event_times import (
    CASES,
    DIGITS,
    FIX,
    ISO,
    NEW_YORK,
    STRPTIME,
    VENDOR,
    Case,
    epoch,
    excel,
    local,
    of_day,
    pattern,
)
from truetape.market.event_time import (
    Shape,
    TimeSpec,
    is_local,
    parse,
    parse_day,
    require_date_pattern,
)
from truetape.market.rejection import Reason, Refused

SPECS = list(dict.fromkeys(case.spec for case in CASES))
INSTANTS = st.integers(at("2001-01-01T00:00:00"), at("2100-01-01T00:00:00") - 1)
OLDER = st.integers(at("1678-01-01T00:00:00"), at("2262-01-01T00:00:00"))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_raw_value_gives_an_instant_or_a_reason(case: Case) -> None:
    got = parse(case.raw, case.spec, case.day)

    assert (got.reason if isinstance(got, Refused) else got) == case.want


def test_every_shape_has_accepted_and_refused_values() -> None:
    for wanted in (int, Reason):
        assert {case.spec.shape for case in CASES if isinstance(case.want, wanted)} == set(Shape)


@pytest.mark.parametrize(
    ("spec", "raw", "detail"),
    [
        (ISO, "2026-11-20T14:31:10", "no UTC offset"),
        (ISO, "2026-11-20", "date without a time"),
        (ISO, "20261120", "date without a time"),
        (ISO, "2026", "year only"),
        (ISO, "14:31:10Z", "time without a date"),
        (ISO, "11/20/2026 14:31", "slashed date"),
        (ISO, "2026-11-20T24:00:00Z", "hour 24"),
        (ISO, "20261120T240000Z", "hour 24"),
        (ISO, "2026-11-20T23:59:60Z", "second 60"),
        (ISO, "20261120T235960Z", "second 60"),
        (ISO, "2026-11-20T14:31:10.1234567890Z", "more than 9 fraction digits"),
        (ISO, "2026-11-20T14:31:10,1234567890Z", "more than 9 fraction digits"),
        (ISO, "20261120 235960Z", "second 60"),
        (ISO, "20261120t235960Z", "second 60"),
        (ISO, "2026-11-20T14:31:10.605X", "not written as iso8601"),
        (ISO, "x" * 100, "not written as iso8601"),
        (ISO, "2026-02-30T14:31:10Z", "no such day"),
        (ISO, " 2026-11-20T14:31:10Z", "white space"),
        (ISO, "2026-11-20T14:31:10Z\n", "white space"),
        (ISO, "2026-11-2\u0660T14:31:10Z", "not printable ASCII"),
        (ISO, "x" * 101, "101 characters"),
        (ISO, "hello", "not written as iso8601"),
        (local(), "2026-11-20T14:31:10Z", "UTC offset in a local time"),
        (local(), "2026-11-20", "date without a time"),
        (local(), "2026-11-20T14:31:10Zx", "not written as iso8601-local"),
        (local(), "2026-11-01T01:30:00", "America/New_York show 2026-11-01 01:30:00 twice"),
        (local(), "2026-03-08T02:30:00", "America/New_York skip 2026-03-08 02:30:00"),
        (STRPTIME, "hello", "'%Y-%m-%d %H:%M:%S.%f'"),
        (epoch("s"), "1.7e9", "scientific notation"),
        (epoch("s"), "1762795433971e-3", "scientific notation"),
        (epoch("s"), "1e9x", "not a plain decimal number"),
        (epoch("s"), "1762795433.0000000001", "more digits than the declared unit has"),
        (epoch("ms"), "1762795433", "outside 2001 to 2099"),
        (epoch("ms"), "hello", "not a plain decimal number"),
        (epoch("ms"), "1" * 101, "101 characters"),
        (excel(), "0.5", "time without a date"),
        (excel(), "60", "1900-02-29"),
        (excel(), "2958466", "9999-12-31"),
        (of_day("ms"), "86400000", "between 00:00 and 24:00"),
        (ISO, "2300-01-01T00:00:00Z", "64-bit nanoseconds"),
    ],
)
def test_a_refusal_explains_what_is_wrong(spec: TimeSpec, raw: str, detail: str) -> None:
    got = parse(raw, spec, date(2013, 10, 7))

    assert isinstance(got, Refused)
    assert detail in got.detail


@given(st.text() | st.text("0123456789-+:.,TZ /eE"), st.sampled_from(SPECS), st.none() | st.dates())
def test_no_text_raises(raw: str, spec: TimeSpec, day: date | None) -> None:
    assert isinstance(parse(raw, spec, day), int | Refused)


@pytest.mark.parametrize(("unit", "digits"), [("s", 9), ("ms", 6), ("us", 3), ("ns", 0)])
@given(instant=INSTANTS)
@example(instant=1_762_795_433_971_744_500)
def test_decimal_epochs_parse_exactly(unit: str, digits: int, instant: int) -> None:
    whole = str(Decimal(instant).scaleb(-digits))

    assert parse(whole, epoch(unit)) == instant


@given(
    instant=OLDER,
    zone=st.sampled_from(["Z", "+00:00", "-05:00", "+0530", "+14"]),
    separator=st.sampled_from("Tt "),
    mark=st.sampled_from(".,"),
    basic=st.booleans(),
)
def test_iso_times_parse_exactly(
    instant: int, zone: str, separator: str, mark: str, basic: bool
) -> None:
    offset_s = {"Z": 0, "+00:00": 0, "-05:00": -18_000, "+0530": 19_800, "+14": 50_400}[zone]
    clock = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=instant // SECOND + offset_s)
    layout = f"%Y%m%d{separator}%H%M%S" if basic else f"%Y-%m-%d{separator}%H:%M:%S"
    raw = f"{clock.strftime(layout)}{mark}{instant % SECOND:09}{zone}"

    assert parse(raw, ISO) == instant


@given(instant=OLDER)
def test_fix_times_parse_exactly(instant: int) -> None:
    clock = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=instant // SECOND)
    raw = f"{clock:%Y%m%d-%H:%M:%S}.{instant % SECOND:09}"

    assert parse(raw, FIX) == instant


@given(instant=INSTANTS, zone=st.sampled_from([NEW_YORK, "Europe/London", "Australia/Lord_Howe"]))
@example(instant=at("2026-11-01T05:30:00"), zone=NEW_YORK)
@example(instant=at("2026-03-08T07:00:00"), zone=NEW_YORK)
def test_wall_clock_times_parse_exactly_or_are_ambiguous(instant: int, zone: str) -> None:
    clock = datetime.fromtimestamp(instant // SECOND, ZoneInfo(zone))
    nanos = instant % SECOND
    of_day_ns = (clock.hour * 3_600 + clock.minute * 60 + clock.second) * SECOND + nanos
    same = clock.replace(fold=1 - clock.fold).astimezone(UTC) == clock.astimezone(UTC)
    want = instant if same else Reason.AMBIGUOUS_LOCAL_TIME
    written = f"{clock:%Y-%m-%d %H:%M:%S}.{nanos:09}"

    for spec, raw in (
        (local(zone), written),
        (pattern("%Y-%m-%d %H:%M:%S.%f", zone), written),
        (pattern("%d.%b.%Y %I%p %M %S,%f", zone), f"{clock:%d.%b.%Y %I%p %M %S},{nanos:09}"),
        (of_day("ns", zone), str(of_day_ns)),
        (of_day("ms", zone), str(Decimal(of_day_ns).scaleb(-6))),
    ):
        got = parse(raw, spec, clock.date())
        assert (got.reason if isinstance(got, Refused) else got) == want


@given(instant=st.integers(at("1900-03-01T00:00:00"), at("2262-01-01T00:00:00")))
def test_excel_serials_parse_to_the_millisecond(instant: int) -> None:
    serial = Decimal(instant) / (86_400 * SECOND) + 25_569

    got = parse(f"{serial:.13f}", excel())

    assert isinstance(got, int)
    assert got % 1_000_000 == 0
    assert abs(got - instant) <= 500_001


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((Shape.ISO8601_LOCAL,), "iso8601-local needs a zone"),
        ((Shape.TIME_OF_DAY_MS,), "time-of-day-ms needs a zone"),
        ((Shape.EXCEL_SERIAL,), "excel-serial needs a zone"),
        ((Shape.PATTERN,), "pattern needs a pattern"),
        ((Shape.PATTERN, None, "%Y-%m-%d %H:%M"), "needs a zone"),
        ((Shape.PATTERN, NEW_YORK, "%Y-%m-%d %H:%M%z"), "does not use a zone"),
        ((Shape.EPOCH_MS, NEW_YORK), "does not use a zone"),
        ((Shape.ISO8601, NEW_YORK), "does not use a zone"),
        ((Shape.FIX, "UTC"), "does not use a zone"),
        ((Shape.EPOCH_MS, None, "%Y"), "does not use a pattern"),
        ((Shape.ISO8601_LOCAL, "America/NewYork"), "unknown time zone 'America/NewYork'"),
        ((Shape.ISO8601_LOCAL, "EST5"), "unknown time zone"),
        ((Shape.ISO8601_LOCAL, "../etc/passwd"), "unknown time zone"),
        ((Shape.ISO8601_LOCAL, "America"), "unknown time zone"),
        ((Shape.ISO8601_LOCAL, "+05:00"), "unknown time zone"),
        ((Shape.ISO8601_LOCAL, "a\0b"), "unknown time zone"),
        ((Shape.ISO8601_LOCAL, ""), "no time zone"),
        ((Shape.ISO8601_LOCAL, "posix/America/New_York"), "no time zone"),
        ((Shape.ISO8601_LOCAL, "right/America/New_York"), "no time zone"),
        ((Shape.ISO8601_LOCAL, "localtime"), "no time zone"),
    ],
)
def test_an_invalid_time_spec_cannot_be_built(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TimeSpec(*arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "1 to 64 characters"),
        ("%Y-%m-%d %H:%M" + "x" * 51, "1 to 64 characters, not 65"),
        ("%Y-%m-%d", "must have either %H or %I"),
        ("%H:%M:%S", "must have %Y"),
        ("%Y-%m %H:%M", "must have %d"),
        ("%Y-%d %H:%M", "either %m or %b"),
        ("%Y-%m-%b-%d %H:%M", "either %m or %b"),
        ("%Y-%m-%d %H", "must have %M"),
        ("%Y-%m-%d %I:%M", "%p exactly where it has %I"),
        ("%Y-%m-%d %H:%M %p", "%p exactly where it has %I"),
        ("%Y-%m-%d %H:%I:%M %p", "either %H or %I"),
        ("%Y-%m-%d %H:%M.%f", "%S where it has %f"),
        ("%Y-%m-%d %Y %H:%M", "%Y more than once"),
        ("%Y-%m-%d %H:%M %q", "contains '%q'"),
        ("%y-%m-%d %H:%M", "contains '%y'"),
        ("%Y-%m-%d %H:%M %", "single %"),
        ("%Y-%m-%d %H:%M\n", "printable ASCII"),
        ("%Y-%m-%d %H:%M\u00b0", "printable ASCII"),
        ("%H:%M:%S.%f%d%m%Y", "%f has no fixed width"),
        ("%Y-%m-%d %H:%M:%S.%f0", "%f has no fixed width"),
        ("%H:%M:%S%z%Y-%m-%d", "%z has no fixed width"),
        ("%H:%M:%S%z: %Y-%m-%d", "%z has no fixed width"),
    ],
)
def test_an_invalid_pattern_cannot_be_built(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TimeSpec(Shape.PATTERN, None if "%z" in text else "UTC", text)


def test_other_characters_of_a_pattern_stand_for_themselves() -> None:
    spec = pattern("[%Y] (%m) %d+ %H.%M$ %% ^a*", "UTC")

    assert parse("[2026] (11) 20+ 14.31$ % ^a*", spec) == at("2026-11-20T14:31:00")
    assert isinstance(parse("[2026] (11) 20+ 14x31$ % ^a*", spec), Refused)


@pytest.mark.parametrize(
    ("name", "month"),
    [
        ("Jan", 1), ("Feb", 2), ("Mar", 3), ("Apr", 4), ("May", 5), ("Jun", 6),
        ("Jul", 7), ("Aug", 8), ("Sep", 9), ("Oct", 10), ("Nov", 11), ("Dec", 12),
    ],
)  # fmt: skip
def test_every_month_name_parses(name: str, month: int) -> None:
    got = parse(f"01-{name}-2026 12:00:00 AM", pattern("%d-%b-%Y %I:%M:%S %p", "UTC"))

    assert got == at(f"2026-{month:02}-01T00:00:00")


@pytest.mark.parametrize(
    ("text", "pattern", "day"),
    [
        ("20180103", None, date(2018, 1, 3)),
        ("2018-01-03", None, date(2018, 1, 3)),
        ("01/03/2018", "%m/%d/%Y", date(2018, 1, 3)),
        ("03JAN2018", "%d%b%Y", date(2018, 1, 3)),
        ("1900-01-01", None, date(1900, 1, 1)),
        *((text, None, None) for text in ("2018-1-3", "20180230", "18-01-03", "", "x", "1/3/2018")),
    ],
)
def test_a_date_of_its_own_is_read_as_declared(
    text: str, pattern: str | None, day: date | None
) -> None:
    found = parse_day(text, pattern)

    assert (None if isinstance(found, Refused) else found) == day


def test_a_pattern_of_a_date_has_nothing_else() -> None:
    for wrong in ("%Y-%m", "%Y-%m-%d %H", "%Y%m%dT%f"):
        with pytest.raises(ValueError, match=r"has more than a date|must have"):
            require_date_pattern(wrong)


def test_only_wall_clock_shapes_need_a_zone() -> None:
    assert {shape for shape in Shape if is_local(shape)} == {
        Shape.ISO8601_LOCAL,
        Shape.TIME_OF_DAY_S,
        Shape.TIME_OF_DAY_MS,
        Shape.TIME_OF_DAY_US,
        Shape.TIME_OF_DAY_NS,
        Shape.CLOCK,
        Shape.EXCEL_SERIAL,
    }
    assert is_local(Shape.PATTERN, VENDOR.pattern)
    assert is_local(Shape.PATTERN, DIGITS.pattern)
    assert not is_local(Shape.PATTERN, "%Y-%m-%d %H:%M%z")
