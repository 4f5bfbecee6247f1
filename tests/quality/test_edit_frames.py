"""What a publication would change, and what is served after it: rules broken in the store."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from support.lake import Bars, put_bars
from support.serving import bar, own_buckets
from support.session_lake import FRIDAY, OPEN
from truetape.lake.bars import read_session_bars
from truetape.market.resolution import Resolution
from truetape.publish.publication import PublicationRequest, next_rev, publish
from truetape.quality.edit_frames import reconciliation_frames, served_frames
from truetape.quality.expectations import validate
from truetape.quality.results import RuleResult
from truetape.quality.suite import load_suite
from truetape.serving.embedded import EmbeddedStore
from truetape.serving.store import BarStore

MINUTES = 150
MINUTE = Resolution.MINUTE


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedStore]:
    """An empty embedded store."""
    opened = EmbeddedStore(tmp_path / "bars.sqlite", own_buckets("history"))
    yield opened
    opened.close()


def session_bars(minutes: int = MINUTES, **values: object) -> Bars:
    """Return minutes of one symbol from the open on."""
    width = MINUTE.width_ns
    return {
        MINUTE: [
            bar(start_ns=start, seq=(start - FRIDAY.start_ns) // width, **values)
            for number in range(minutes)
            for start in [OPEN + number * width]
        ]
    }


@pytest.fixture
def lake(tmp_path: Path) -> str:
    """A lake that holds `session_bars()`."""
    put_bars(str(tmp_path / "lake"), FRIDAY, session_bars())
    return str(tmp_path / "lake")


def published(lake: str, store: BarStore) -> None:
    publish(
        lake, store, PublicationRequest(FRIDAY, "tests", "because", 1, 0.0), sleep=lambda _: None
    )


def before_publication(
    lake: str, store: BarStore, rev: int | None = None, profile: str = "sip 1"
) -> dict[str, RuleResult]:
    """Check what publishing would do; return the rules that do not hold."""
    wanted = read_session_bars(lake, FRIDAY)
    number = next_rev(lake, store, FRIDAY) if rev is None else rev
    frames = reconciliation_frames(wanted, store, number, profile)
    return {
        one.rule: one
        for one in validate(load_suite("reconciliation"), frames, {})
        if not one.passed
    }


def after_publication(lake: str, store: BarStore) -> dict[str, RuleResult]:
    """Check what is served; return the rules that do not hold."""
    wanted = read_session_bars(lake, FRIDAY)
    frames = served_frames(wanted, store, next_rev(lake, store, FRIDAY))
    return {one.rule: one for one in validate(load_suite("served"), frames, {}) if not one.passed}


def test_a_first_publication_breaks_no_rule(lake: str, store: EmbeddedStore) -> None:
    assert before_publication(lake, store) == {}

    published(lake, store)

    assert before_publication(lake, store) == {}
    assert after_publication(lake, store) == {}


def test_a_profile_that_differs_from_the_speed_layer_is_flagged(
    lake: str, store: EmbeddedStore
) -> None:
    (broken,) = before_publication(lake, store, profile="sip 2").values()

    assert broken.rule == "R20"
    assert broken.examples[0]["profile_speed"] == "sip 2"


@pytest.mark.parametrize(("rev", "holds"), [(2, True), (1, False), (0, False)])
def test_a_lower_rev_breaks_a_rule(lake: str, store: EmbeddedStore, rev: int, holds: bool) -> None:
    published(lake, store)
    put_bars(lake, FRIDAY, session_bars(close=100.25))

    broken = before_publication(lake, store, rev=rev)

    assert ("R23" not in broken) == holds
    if not holds:
        assert broken["R23"].unexpected == MINUTES
        assert (
            broken["R23"].examples[0] | {"rev_before": "1", "rev_after": str(rev)}
            == (broken["R23"].examples[0])
        )


@pytest.mark.parametrize(("left", "holds"), [(121, True), (120, True), (119, False)])
def test_voiding_a_fifth_of_the_final_bars_breaks_a_rule(
    lake: str, store: EmbeddedStore, left: int, holds: bool
) -> None:
    """30 of 150 minutes are a fifth, 31 are more."""
    published(lake, store)
    put_bars(lake, FRIDAY, session_bars(left))

    assert ("R24" not in before_publication(lake, store)) == holds


def test_a_few_final_bars_may_all_be_voided(lake: str, store: EmbeddedStore) -> None:
    put_bars(lake, FRIDAY, session_bars(99))
    published(lake, store)
    put_bars(lake, FRIDAY, session_bars(1))

    assert "R24" not in before_publication(lake, store)


def provisional(store: BarStore, wrong: int, **values: object) -> None:
    """Serve the minutes as the speed layer would, the first ones with other values."""
    rows = [replace(one, layer="speed", final=False, rev=0) for one in session_bars()[MINUTE]]
    rows[:wrong] = [replace(one, **values) for one in rows[:wrong]]  # type: ignore[arg-type]
    store.write(MINUTE, rows)


def test_bars_rolled_up_by_the_database_are_not_judged(lake: str, store: EmbeddedStore) -> None:
    """A roll-up that stood still for hours has wrong bars; its minutes are what is judged."""
    five = Resolution.FIVE_MINUTES
    rows = [
        replace(one, start_ns=OPEN + number * five.width_ns, layer="speed", final=False, rev=0)
        for number, one in enumerate(session_bars()[MINUTE][:120])
    ]
    store.write(five, rows)
    wanted = [replace(one, close=1.0, volume=2.0) for one in rows[:60]]
    put_bars(lake, FRIDAY, session_bars() | {five: wanted})

    assert before_publication(lake, store) == {}


def test_a_mostly_correct_speed_layer_raises_no_flag(lake: str, store: EmbeddedStore) -> None:
    provisional(store, 30, close=100.5 * 1.0049)

    assert before_publication(lake, store) == {}


@pytest.mark.parametrize(
    ("wrong", "values", "rules"),
    [
        pytest.param(31, {"close": 100.51}, {"R12"}, id="over a fifth changes"),
        pytest.param(1, {"close": 100.5 * 1.006}, {"R12"}, id="a close by 60 basis points"),
        pytest.param(10, {"volume": 0.0}, {"R25"}, id="volume is missing"),
    ],
)
def test_wrong_provisional_bars_are_flagged(
    lake: str, store: EmbeddedStore, wrong: int, values: dict[str, object], rules: set[str]
) -> None:
    provisional(store, wrong, **values)

    broken = before_publication(lake, store)

    assert set(broken) == rules
    assert {one.severity for one in broken.values()} == {"flag"}


@dataclass(frozen=True, slots=True)
class Twice:
    """A store that reads its first minute twice, as a series that was split would."""

    store: BarStore

    def read_table(self, resolution: Resolution, *window: Any, **chosen: Any) -> pa.Table:
        rows = self.store.read_table(resolution, *window, **chosen)
        return pa.concat_tables([rows.slice(0, 1), rows])

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


def lost(store: BarStore) -> None:
    """Take a bar away; the embedded store has no verb for it."""
    store._db.execute("DELETE FROM bar WHERE start_ns = ?", (OPEN,))  # type: ignore[attr-defined]


def changed(**values: object) -> Callable[[BarStore], None]:
    def change(store: BarStore) -> None:
        (row,) = store.read(MINUTE, OPEN, OPEN + 1)
        store.write(MINUTE, [replace(row, **values)])  # type: ignore[arg-type]

    return change


def extra(**values: object) -> Callable[[BarStore], None]:
    def add(store: BarStore) -> None:
        (row,) = store.read(MINUTE, OPEN, OPEN + 1)
        place = {"start_ns": OPEN - MINUTE.width_ns, "seq": row.seq - 1}
        store.write(MINUTE, [replace(row, **(place | values))])  # type: ignore[arg-type]

    return add


NOTHING = dict.fromkeys(("open", "high", "low", "close", "volume", "vwap"), 0.0) | {"trades": 0}


@pytest.mark.parametrize(
    ("spoil", "rules"),
    [
        pytest.param(lost, {"R1", "R2", "R4", "R10"}, id="a bar is lost"),
        pytest.param(changed(close=99.0), {"R3", "R4", "R10"}, id="a value differs"),
        pytest.param(changed(final=False), {"R3", "R10"}, id="a bar is not sealed"),
        pytest.param(extra(), {"R1", "R4", "R10", "R14"}, id="a bar that nobody recomputed"),
        pytest.param(extra(void=True, **NOTHING), set(), id="a void bar is as it should be"),
        pytest.param(
            extra(void=True, **NOTHING | {"volume": 5.0}), {"R4", "R9"}, id="a void with volume"
        ),
    ],
)
def test_served_bars_that_differ_from_the_recomputed_ones_break_a_rule(
    lake: str, store: EmbeddedStore, spoil: Callable[[BarStore], None], rules: set[str]
) -> None:
    published(lake, store)
    spoil(store)

    assert set(after_publication(lake, store)) == rules


def test_a_bar_that_is_served_twice_breaks_a_rule(lake: str, store: EmbeddedStore) -> None:
    published(lake, store)

    broken = after_publication(lake, Twice(store))  # type: ignore[arg-type]

    assert set(broken) == {"R16"}
    assert broken["R16"].examples[0]["start_ns"] == str(OPEN)
