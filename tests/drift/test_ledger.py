"""The drift ledger: the entries of publications of real lakes, once each, after any kill."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from support.build import SECOND, cancel
from support.drifting import DAY, HOUR, MINUTE, QUIET, SPEED, printed
from support.drifting import publish_and_record as run
from support.lake import TamperedStore
from support.serving import own_buckets
from support.session_lake import FRIDAY, NOON, lake_session
from support.speed_reference import SERVED, counted_trades, provisional_bars, serve
from truetape.drift.attribution import FieldDrift, Part
from truetape.drift.ledger import BarDrift, DriftLedger
from truetape.lake.publications import publications
from truetape.market.resolution import ROLLED_UP, Resolution
from truetape.market.trades import Event
from truetape.publish.diff import Change
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


def causes_by_bar(
    entries: Iterable[BarDrift],
) -> dict[tuple[str, str, int], dict[str, tuple[str, ...]]]:
    """Return causes and trades by symbol, resolution and seconds after noon."""
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
"""The changes of the first publication of `DAY`, written by hand."""


def test_a_publication_records_each_changed_bar_with_its_causes(lake: str, store: BarStore) -> None:
    lake_session(DAY).write(lake)
    serve(store, provisional_bars(counted_trades(DAY)))

    outcome = run(lake, store)

    entries = ledger(lake)
    assert causes_by_bar(entries) == FIRST
    assert {entry.rev for entry in entries} == {outcome.rev} == {1}
    gone = next(entry for entry in entries if entry.key == ("IBM", "1s", NOON + 2 * SECOND))
    assert (gone.change, {drift.field: (drift.before, drift.after) for drift in gone.fields}) == (
        "void",
        {name: (Decimal(100), Decimal(0)) for name in ("open", "high", "low", "close", "vwap")}
        | {"volume": (Decimal(10), Decimal(0)), "trades": (Decimal(1), Decimal(0))},
    )
    late = next(entry for entry in entries if entry.key == ("IBM", "1m", NOON + MINUTE))
    high = next(drift for drift in late.fields if drift.field == "high")
    assert (high.before, high.after, high.parts[0].lateness_ns) == (100, 101, 5 * MINUTE)


def test_a_rolled_up_provisional_bar_has_no_entry_of_its_own(lake: str, store: BarStore) -> None:
    """Its minutes have the entries. A later change of the final bar has an entry."""
    lake_session(DAY).write(lake)
    serve(store, provisional_bars(counted_trades(DAY), resolutions=(*SERVED, *ROLLED_UP)))

    run(lake, store)
    first = causes_by_bar(ledger(lake))
    lake_session([*DAY, cancel("63", NOON + 2 * HOUR, symbol="IBM")]).write(lake)
    run(lake, store, as_of_ns=NOON + 3 * HOUR)

    assert first == FIRST
    again = causes_by_bar(entry for entry in ledger(lake) if entry.rev == 2)
    assert again["IBM", "5m", 0] == again["IBM", "1h", 0] == {"cancel": ("63",)}


def test_the_recorded_deltas_add_up_to_batch_total_minus_speed_total(
    lake: str, store: BarStore
) -> None:
    lake_session(DAY).write(lake)
    served = provisional_bars(counted_trades(DAY))
    serve(store, served)

    run(lake, store)

    for resolution, rows in served.items():
        final = store.read(resolution, FRIDAY.start_ns, FRIDAY.end_ns)
        moved = sum(bar.volume for bar in final) - sum(bar.volume for bar in rows)
        assert moved == sum(
            drift.delta
            for entry in ledger(lake)
            for drift in entry.fields
            if entry.resolution is resolution and drift.field == "volume"
        )
        assert moved == 20  # the late 10, the cancelled 10, twenty more by correction


def test_without_speed_bars_a_first_publication_has_no_drift(lake: str, store: BarStore) -> None:
    lake_session(DAY).write(lake)

    assert run(lake, store).rev == 1
    assert ledger(lake) == []


def test_a_second_publication_without_edits_records_nothing(lake: str, store: BarStore) -> None:
    lake_session(DAY).write(lake)
    serve(store, provisional_bars(counted_trades(DAY)))
    run(lake, store)

    assert run(lake, store).edits == 0
    assert causes_by_bar(ledger(lake)) == FIRST


def test_later_events_are_recorded_as_drift_from_the_published_bars(
    lake: str, store: BarStore
) -> None:
    """This includes wide bars, which a publication serves and the speed layer does not."""
    lake_session(DAY).write(lake)
    serve(store, provisional_bars(counted_trades(DAY)))
    run(lake, store)
    after = [cancel("61", NOON + 2 * HOUR, symbol="IBM"), printed(5, "55", symbol="KO", delay=HOUR)]
    lake_session([*DAY, *after]).write(lake)

    assert run(lake, store, as_of_ns=NOON + 3 * HOUR).rev == 2

    second = [entry for entry in ledger(lake) if entry.rev == 2]
    assert causes_by_bar(second) == {
        ("IBM", "1s", 61): {"cancel": ("61",)},
        **{("IBM", width, 60 if width == "1m" else 0): {"cancel": ("61",)}
           for width in ("1m", "5m", "1h")},
        ("KO", "1s", 5): {"late": ("5",)},
        **{("KO", width, 0): {"late": ("5",)} for width in ("1m", "5m", "1h")},
        ("IBM", "1d", -9_000): {"cancel": ("61",)},
        ("KO", "1d", -9_000): {"late": ("5",)},
    }  # fmt: skip


def test_another_profile_is_reported_as_eligibility(lake: str, store: BarStore) -> None:
    odd = printed(3, "90", conditions=("@", "I"))
    lake_session([*QUIET, odd]).write(lake)
    serve(store, provisional_bars(counted_trades([*QUIET, odd]), "all"))

    run(lake, store, replace(SPEED, profile="all"))

    assert causes_by_bar(ledger(lake)) == {
        ("IBM", "1m", 0): {"eligibility": ("3",)},
        ("IBM", "1s", 3): {"eligibility": ("3",)},
    }


def test_repeats_of_a_feed_that_expects_none_are_reported_as_duplicates(
    lake: str, store: BarStore
) -> None:
    events = [*QUIET, replace(QUIET[1], received_ns=QUIET[1].received_ns + 9 * SECOND)]
    lake_session(events).write(lake)
    serve(store, provisional_bars(counted_trades(events, repeats=True)))

    run(lake, store, replace(SPEED, deduplicated_feeds=frozenset()))

    assert causes_by_bar(ledger(lake)) == {
        ("IBM", "1m", 0): {"duplicate": ("2",)},
        ("IBM", "1s", 2): {"duplicate": ("2",)},
    }


def test_trades_that_the_speed_layer_never_served_are_reported_as_missing(
    lake: str, store: BarStore
) -> None:
    """The layer was down for one whole minute and for one second of another."""
    lake_session(QUIET).write(lake)
    serve(store, provisional_bars(counted_trades(QUIET, lost=lambda item: item.id in ("2", "121"))))

    run(lake, store)

    assert causes_by_bar(ledger(lake)) == {
        ("IBM", "1m", 0): {"missing": ("2",)},
        ("IBM", "1s", 2): {"missing": ("2",)},
        ("IBM", "1m", 120): {"missing": ("121",)},
        ("IBM", "1s", 121): {"missing": ("121",)},
    }


def test_a_price_without_a_print_is_unexplained(lake: str, store: BarStore) -> None:
    lake_session(QUIET).write(lake)
    served = provisional_bars(counted_trades(QUIET))
    first = served[Resolution.MINUTE][0]
    serve(store, served | {Resolution.MINUTE: [replace(first, high=100.5)]})

    run(lake, store)

    wrong = [entry for entry in ledger(lake) if entry.key[1:] == ("1m", NOON)]
    assert causes_by_bar(wrong) == {("IBM", "1m", 0): {"unexplained": ()}}
    assert [(drift.field, drift.delta) for drift in wrong[0].fields] == [("high", Decimal("-0.5"))]


@pytest.mark.parametrize("volume", [1e-20, 0.1 + 0.2, 1e18, 20.000000000000004])
def test_any_served_double_fits_into_the_ledger(lake: str, store: BarStore, volume: float) -> None:
    lake_session(QUIET).write(lake)
    served = provisional_bars(counted_trades(QUIET))
    first = served[Resolution.MINUTE][0]
    serve(store, served | {Resolution.MINUTE: [replace(first, volume=volume)]})

    run(lake, store)

    [wrong] = [entry for entry in ledger(lake) if entry.key[1:] == ("1m", NOON)]
    [field] = wrong.fields
    assert field.after == 20
    assert abs(float(field.before) - volume) <= 1e-17
    assert sum(part.delta for part in field.parts) == field.after - field.before


def test_the_metrics_count_changed_bars_by_cause(lake: str, store: BarStore) -> None:
    lake_session(DAY).write(lake)
    serve(store, provisional_bars(counted_trades(DAY)))

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


def test_a_cause_that_only_an_older_version_knew_is_shown_as_unexplained(lake: str) -> None:
    part = Part("order", Decimal(1), ("2",))  # type: ignore[arg-type]  # as it was
    field = FieldDrift("close", Decimal(1), Decimal(2), (part,))
    old = BarDrift("XNYS", FRIDAY.date, 1, "IBM", Resolution.MINUTE, NOON, Change.CHANGE, (field,))

    DriftLedger(lake).append([old])

    assert causes_by_bar(ledger(lake)) == {("IBM", "1m", 0): {"unexplained": ("2",)}}


class KilledError(Exception):
    """The publication was killed."""


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


@pytest.mark.real  # slow: killed at every write
@pytest.mark.parametrize("has_landed", [False, True], ids=["before", "after"])
def test_after_a_kill_at_any_write_no_entry_is_missing_or_doubled(
    tmp_path: Path, has_landed: bool
) -> None:
    """Each bar whose served values changed has one entry, under the rev that completed it."""
    reference = str(tmp_path / "lake")
    lake_session(DAY).write(reference)
    with_rows = fresh(tmp_path / "count.sqlite")
    total = writes_of(reference, with_rows)
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
        assert causes_by_bar(entries) == FIRST
        assert len(entries) == len({entry.key for entry in entries})
        assert all(entry.rev >= last_rev(lake) for entry in entries)
        store.close()
    assert total > 2


def last_rev(lake: str) -> int:
    return max((publication.rev for publication in publications(lake, FRIDAY)), default=0)


def fresh(path: Path) -> EmbeddedStore:
    store = EmbeddedStore(path, own_buckets("history"))
    store.ensure_buckets()
    serve(store, provisional_bars(counted_trades(DAY)))
    return store


def test_a_killed_publication_and_a_later_trade_are_recorded_as_one_change(
    lake: str, tmp_path: Path
) -> None:
    """The first is killed at its last write; then the lake changes; the next one completes both."""
    store = fresh(tmp_path / "bars.sqlite")
    lake_session(DAY).write(lake)
    with pytest.raises(KilledError):
        run(lake, TamperedStore(store, after=die_after(3)))
    later: Sequence[Event] = [*DAY, printed(3, "105", delay=2 * HOUR)]
    lake_session(later).write(lake)

    run(lake, store, as_of_ns=NOON + 3 * HOUR)

    entries = [entry for entry in ledger(lake) if entry.key == ("IBM", "1m", NOON)]
    assert causes_by_bar(entries) == {("IBM", "1m", 0): {"late": ("3",), "cancel": ("2",)}}
    [entry] = entries
    fields = {drift.field: drift for drift in entry.fields}
    assert (fields["close"].before, fields["close"].after) == (100, 105)
    assert fields["volume"].delta == 0
    for drift in entry.fields:
        assert sum(part.delta for part in drift.parts) == drift.delta


def test_drift_after_a_killed_first_publication_is_recorded(lake: str, tmp_path: Path) -> None:
    """It had replaced all rows of the speed layer without changing a value."""
    store = fresh(tmp_path / "bars.sqlite")
    serve(store, provisional_bars(counted_trades(QUIET)))
    lake_session(QUIET).write(lake)
    with pytest.raises(KilledError):
        run(lake, TamperedStore(store, die_at(2)))
    lake_session([*QUIET, printed(301, "101", delay=5 * MINUTE)]).write(lake)

    run(lake, store)

    assert causes_by_bar(ledger(lake))["IBM", "1m", 300] == {"late": ("301",)}


def test_a_session_without_drift_is_not_listed(lake: str, tmp_path: Path) -> None:
    """The ledger only records that the speed layer served it."""
    store = EmbeddedStore(tmp_path / "bars.sqlite", own_buckets("history"))
    store.ensure_buckets()
    serve(store, provisional_bars(counted_trades(QUIET)))
    lake_session(QUIET).write(lake)

    run(lake, store)

    assert DriftLedger(lake).was_speed_served(FRIDAY)
    assert DriftLedger(lake).sessions() == []


def test_bars_added_after_a_killed_first_publication_are_no_drift_without_speed_bars(
    lake: str, tmp_path: Path
) -> None:
    """No layer had served the session before: bars that the second attempt adds are no drift."""
    store = EmbeddedStore(tmp_path / "bars.sqlite", own_buckets("history"))
    store.ensure_buckets()
    lake_session(QUIET).write(lake)
    with pytest.raises(KilledError):
        run(lake, TamperedStore(store, die_at(1)))
    lake_session([*QUIET, printed(301, "101", delay=5 * MINUTE)]).write(lake)

    run(lake, store)

    assert ledger(lake) == []
