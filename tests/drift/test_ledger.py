"""The drift ledger: what publications of real lakes write down, once, and whatever kills them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from support.build import SECOND, cancel
from support.drifting import DAY, HOUR, MINUTE, QUIET, SPEED, printed
from support.drifting import publish_and_note as run
from support.lake import TamperedStore
from support.serving import own_buckets
from support.session_lake import FRIDAY, NOON, lake_session
from support.speed_toy import SERVED, heard, provisional_bars, serve
from truetape.drift.ledger import BarDrift, DriftLedger
from truetape.lake.publications import publications
from truetape.market.resolution import ROLLED_UP, Resolution
from truetape.market.trades import Event
from truetape.serving.embedded import EmbeddedStore
from truetape.serving.store import BarStore, ServedBar


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BarStore]:
    """An empty embedded store."""
    opened = EmbeddedStore(tmp_path / "bars.sqlite", own_buckets("history"))
    opened.ensure_buckets()
    yield opened
    opened.close()


@pytest.fixture
def lake(tmp_path: Path) -> str:
    """A path for a lake."""
    return str(tmp_path / "lake")


def ledger(lake: str) -> list[BarDrift]:
    return DriftLedger(lake).of_session(FRIDAY)


def told(entries: Iterable[BarDrift]) -> dict[tuple[str, str, int], dict[str, tuple[str, ...]]]:
    """Causes and trades by symbol, resolution and seconds after noon."""
    return {
        (entry.symbol, entry.resolution.value, (entry.start_ns - NOON) // SECOND): {
            str(cause): trades for cause, trades in entry.causes.items()
        }
        for entry in entries
    }


FIRST = {
    ("IBM", "1m", 0): {"cancel": ("2",)},
    ("IBM", "1m", 60): {"late": ("63",)},
    ("IBM", "1m", 120): {"correction": ("121",)},
    ("IBM", "1s", 2): {"cancel": ("2",)},
    ("IBM", "1s", 63): {"late": ("63",)},
    ("IBM", "1s", 121): {"correction": ("121",)},
}
"""What the first publication of `DAY` changes, by hand."""


def test_a_publication_writes_down_each_bar_that_changed_with_its_causes(
    lake: str, store: BarStore
) -> None:
    lake_session(DAY).write(lake)
    serve(store, provisional_bars(heard(DAY)))

    outcome = run(lake, store)

    entries = ledger(lake)
    assert told(entries) == FIRST
    assert {entry.rev for entry in entries} == {outcome.rev} == {1}
    gone = next(entry for entry in entries if entry.key == ("IBM", "1s", NOON + 2 * SECOND))
    assert (gone.change, {one.field: (one.before, one.after) for one in gone.fields}) == (
        "void",
        {name: (Decimal(100), Decimal(0)) for name in ("open", "high", "low", "close", "vwap")}
        | {"volume": (Decimal(10), Decimal(0)), "trades": (Decimal(1), Decimal(0))},
    )
    late = next(entry for entry in entries if entry.key == ("IBM", "1m", NOON + MINUTE))
    high = next(one for one in late.fields if one.field == "high")
    assert (high.before, high.after, high.parts[0].lateness_ns) == (100, 101, 5 * MINUTE)


def test_a_wider_provisional_bar_has_no_entry_beside_those_of_its_minutes(
    lake: str, store: BarStore
) -> None:
    """The database added it up from them; once it is final, a change of it has an entry."""
    lake_session(DAY).write(lake)
    serve(store, provisional_bars(heard(DAY), resolutions=(*SERVED, *ROLLED_UP)))

    run(lake, store)
    first = told(ledger(lake))
    lake_session([*DAY, cancel("63", NOON + 2 * HOUR, symbol="IBM")]).write(lake)
    run(lake, store, as_of_ns=NOON + 3 * HOUR)

    assert first == FIRST
    again = told(one for one in ledger(lake) if one.rev == 2)
    assert again["IBM", "5m", 0] == again["IBM", "1h", 0] == {"cancel": ("63",)}


def test_what_is_written_down_adds_up_to_batch_total_minus_speed_total(
    lake: str, store: BarStore
) -> None:
    lake_session(DAY).write(lake)
    served = provisional_bars(heard(DAY))
    serve(store, served)

    run(lake, store)

    for resolution, rows in served.items():
        final = store.read(resolution, FRIDAY.start_ns, FRIDAY.end_ns)
        moved = sum(bar.volume for bar in final) - sum(bar.volume for bar in rows)
        assert moved == sum(
            one.delta
            for entry in ledger(lake)
            for one in entry.fields
            if entry.resolution is resolution and one.field == "volume"
        )
        assert moved == 20  # the late 10, the cancelled 10, twenty more by correction


def test_nobody_was_told_anything_where_the_speed_layer_served_nothing(
    lake: str, store: BarStore
) -> None:
    lake_session(DAY).write(lake)

    assert run(lake, store).rev == 1
    assert ledger(lake) == []


def test_a_second_publication_without_edits_writes_nothing(lake: str, store: BarStore) -> None:
    lake_session(DAY).write(lake)
    serve(store, provisional_bars(heard(DAY)))
    run(lake, store)

    assert run(lake, store).edits == 0
    assert told(ledger(lake)) == FIRST


def test_what_comes_after_a_publication_is_told_beside_what_was_published(
    lake: str, store: BarStore
) -> None:
    """Also in the wider bars, which the speed layer does not serve and a publication does."""
    lake_session(DAY).write(lake)
    serve(store, provisional_bars(heard(DAY)))
    run(lake, store)
    after = [cancel("61", NOON + 2 * HOUR, symbol="IBM"), printed(5, "55", symbol="KO", delay=HOUR)]
    lake_session([*DAY, *after]).write(lake)

    assert run(lake, store, as_of_ns=NOON + 3 * HOUR).rev == 2

    second = [entry for entry in ledger(lake) if entry.rev == 2]
    assert told(second) == {
        ("IBM", "1s", 61): {"cancel": ("61",)},
        **{("IBM", width, 60 if width == "1m" else 0): {"cancel": ("61",)}
           for width in ("1m", "5m", "1h")},
        ("KO", "1s", 5): {"late": ("5",)},
        **{("KO", width, 0): {"late": ("5",)} for width in ("1m", "5m", "1h")},
        ("IBM", "1d", -9_000): {"cancel": ("61",)},
        ("KO", "1d", -9_000): {"late": ("5",)},
    }  # fmt: skip


def test_a_change_of_profile_is_told_as_eligibility(lake: str, store: BarStore) -> None:
    odd = printed(3, "90", conditions=("@", "I"))
    lake_session([*QUIET, odd]).write(lake)
    serve(store, provisional_bars(heard([*QUIET, odd]), "all"))

    run(lake, store, replace(SPEED, profile="all"))

    assert told(ledger(lake)) == {
        ("IBM", "1m", 0): {"eligibility": ("3",)},
        ("IBM", "1s", 3): {"eligibility": ("3",)},
    }


def test_repeats_of_a_feed_that_expects_none_are_told_as_duplicates(
    lake: str, store: BarStore
) -> None:
    events = [*QUIET, replace(QUIET[1], received_ns=QUIET[1].received_ns + 9 * SECOND)]
    lake_session(events).write(lake)
    serve(store, provisional_bars(heard(events, repeats=True)))

    run(lake, store, replace(SPEED, deduplicated_feeds=frozenset()))

    assert told(ledger(lake)) == {
        ("IBM", "1m", 0): {"duplicate": ("2",)},
        ("IBM", "1s", 2): {"duplicate": ("2",)},
    }


def test_what_the_speed_layer_never_served_is_told_as_missing(lake: str, store: BarStore) -> None:
    """It was down for a while, in which a whole minute and a second of another passed."""
    lake_session(QUIET).write(lake)
    serve(store, provisional_bars(heard(QUIET, lost=lambda one: one.id in ("2", "121"))))

    run(lake, store)

    assert told(ledger(lake)) == {
        ("IBM", "1m", 0): {"missing": ("2",)},
        ("IBM", "1s", 2): {"missing": ("2",)},
        ("IBM", "1m", 120): {"missing": ("121",)},
        ("IBM", "1s", 121): {"missing": ("121",)},
    }


def test_a_price_that_nobody_printed_is_unexplained(lake: str, store: BarStore) -> None:
    lake_session(QUIET).write(lake)
    served = provisional_bars(heard(QUIET))
    first = served[Resolution.MINUTE][0]
    serve(store, served | {Resolution.MINUTE: [replace(first, high=100.5)]})

    run(lake, store)

    wrong = [entry for entry in ledger(lake) if entry.key[1:] == ("1m", NOON)]
    assert told(wrong) == {("IBM", "1m", 0): {"unexplained": ()}}
    assert [(one.field, one.delta) for one in wrong[0].fields] == [("high", Decimal("-0.5"))]


@pytest.mark.parametrize("volume", [1e-20, 0.1 + 0.2, 1e18, 20.000000000000004])
def test_whatever_double_was_served_fits_into_the_ledger(
    lake: str, store: BarStore, volume: float
) -> None:
    lake_session(QUIET).write(lake)
    served = provisional_bars(heard(QUIET))
    first = served[Resolution.MINUTE][0]
    serve(store, served | {Resolution.MINUTE: [replace(first, volume=volume)]})

    run(lake, store)

    [wrong] = [entry for entry in ledger(lake) if entry.key[1:] == ("1m", NOON)]
    [field] = wrong.fields
    assert field.after == 20
    assert abs(float(field.before) - volume) <= 1e-17
    assert sum(part.delta for part in field.parts) == field.after - field.before


def test_the_metrics_say_how_many_bars_each_cause_changed(lake: str, store: BarStore) -> None:
    lake_session(DAY).write(lake)
    serve(store, provisional_bars(heard(DAY)))

    run(lake, store)

    points = {
        (point.tags["cause"], point.tags["resolution"]): point.fields
        for point in store.read_points("drift", 0, 2**63 - 1)
    }
    assert {key: fields["bars"] for key, fields in points.items()} == {
        (cause, width): 1 for cause in ("late", "cancel", "correction") for width in ("1s", "1m")
    }
    assert points["late", "1s"] == {
        "session": "2024-11-22", "rev": 1, "bars": 1, "changed": 0, "missing": 1, "extra": 0,
        "max_abs_bps": 0.0, "volume": 10.0,
    }  # fmt: skip
    assert points["correction", "1m"]["max_abs_bps"] == 200.0


class KilledError(Exception):
    """The publication ends here."""


def die_at(number: int) -> Callable[[int, list[ServedBar]], list[ServedBar]]:
    def tamper(write: int, rows: list[ServedBar]) -> list[ServedBar]:
        if write == number:
            raise KilledError
        return rows

    return tamper


def die_after(number: int) -> Callable[[int], None]:
    def after(write: int) -> None:
        if write == number:
            raise KilledError

    return after


def writes_of(lake: str, store: BarStore) -> int:
    counting = TamperedStore(store)
    run(lake, counting)
    return counting.writes


@pytest.mark.real  # every write of it
@pytest.mark.parametrize("has_landed", [False, True], ids=["before", "after"])
def test_a_publication_killed_at_any_write_leaves_no_double_and_no_missing_entry(
    tmp_path: Path, has_landed: bool
) -> None:
    """Each bar that was ever served otherwise has one entry under the rev that completed it."""
    whole = str(tmp_path / "lake")
    lake_session(DAY).write(whole)
    with_rows = fresh(tmp_path / "count.sqlite")
    total = writes_of(whole, with_rows)
    for number in range(total):
        lake, store = str(tmp_path / f"lake{number}"), fresh(tmp_path / f"{number}.sqlite")
        lake_session(DAY).write(lake)
        dying = (
            TamperedStore(store, after=die_after(number))
            if has_landed
            else TamperedStore(store, die_at(number))
        )
        with pytest.raises(KilledError):
            run(lake, dying)

        run(lake, store)

        entries = ledger(lake)
        assert told(entries) == FIRST
        assert len(entries) == len({entry.key for entry in entries})
        assert all(entry.rev >= publications_of(lake) for entry in entries)
        store.close()
    assert total > 2


def publications_of(lake: str) -> int:
    return max((one.rev for one in publications(lake, FRIDAY)), default=0)


def fresh(path: Path) -> EmbeddedStore:
    store = EmbeddedStore(path, own_buckets("history"))
    store.ensure_buckets()
    serve(store, provisional_bars(heard(DAY)))
    return store


def test_a_killed_publication_and_a_new_trade_are_told_as_one_change(
    lake: str, tmp_path: Path
) -> None:
    """Killed at its very end; then the lake changes, and the next publication completes both."""
    store = fresh(tmp_path / "bars.sqlite")
    lake_session(DAY).write(lake)
    with pytest.raises(KilledError):
        run(lake, TamperedStore(store, after=die_after(3)))
    later: Sequence[Event] = [*DAY, printed(3, "105", delay=2 * HOUR)]
    lake_session(later).write(lake)

    run(lake, store, as_of_ns=NOON + 3 * HOUR)

    entries = [entry for entry in ledger(lake) if entry.key == ("IBM", "1m", NOON)]
    assert told(entries) == {("IBM", "1m", 0): {"late": ("3",), "cancel": ("2",)}}
    [entry] = entries
    fields = {one.field: one for one in entry.fields}
    assert (fields["close"].before, fields["close"].after) == (100, 105)
    assert fields["volume"].delta == 0
    for one in entry.fields:
        assert sum(part.delta for part in one.parts) == one.delta


def test_what_comes_after_a_killed_first_publication_is_told(lake: str, tmp_path: Path) -> None:
    """It has written over all that the speed layer had served, and found nothing to change."""
    store = fresh(tmp_path / "bars.sqlite")
    serve(store, provisional_bars(heard(QUIET)))
    lake_session(QUIET).write(lake)
    with pytest.raises(KilledError):
        run(lake, TamperedStore(store, die_at(2)))
    lake_session([*QUIET, printed(301, "101", delay=5 * MINUTE)]).write(lake)

    run(lake, store)

    assert told(ledger(lake))["IBM", "1m", 300] == {"late": ("301",)}


def test_a_session_that_was_served_rightly_is_not_listed(lake: str, tmp_path: Path) -> None:
    """The ledger notes that it was served; it has no drift for all that."""
    store = EmbeddedStore(tmp_path / "bars.sqlite", own_buckets("history"))
    store.ensure_buckets()
    serve(store, provisional_bars(heard(QUIET)))
    lake_session(QUIET).write(lake)

    run(lake, store)

    assert DriftLedger(lake).was_speed_served(FRIDAY)
    assert DriftLedger(lake).sessions() == []


def test_who_was_told_nothing_and_killed_is_told_nothing(lake: str, tmp_path: Path) -> None:
    """Nobody had served the session: bars that a second attempt adds are no drift."""
    store = EmbeddedStore(tmp_path / "bars.sqlite", own_buckets("history"))
    store.ensure_buckets()
    lake_session(QUIET).write(lake)
    with pytest.raises(KilledError):
        run(lake, TamperedStore(store, die_at(1)))
    lake_session([*QUIET, printed(301, "101", delay=5 * MINUTE)]).write(lake)

    run(lake, store)

    assert ledger(lake) == []
