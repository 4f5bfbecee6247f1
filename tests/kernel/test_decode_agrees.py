"""The kernel gives every payload the events, values and reasons of the reference, in order."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest

from support.data import real_data
from support.payloads import FRAMES, ReceivedPayload, around_stamp, recorded, whole_and_damaged
from truetape.feeds.contract import Contract, contract_names, load_contract, read_contract
from truetape.feeds.decoder import Context, Limits
from truetape.feeds.decoder import decode as reference_decode
from truetape.feeds.simulator.faults import NO_FAULTS
from truetape.feeds.simulator.formats import FORMATS
from truetape.feeds.simulator.session import SimulationPlan, simulate
from truetape.host.resources import folder
from truetape.kernel.columns import RECORDS
from truetape.kernel.decode import decode
from truetape.market.rejection import Rejected
from truetape.market.trades import Cancel, Correction, Event, Trade, notional

LIMITS = Limits(max_payload_bytes=2_000_000)

Outcome = tuple[object, ...]


def of_reference(row: int, item: Event | Rejected) -> Outcome:
    match item:
        case Rejected():
            return (row, item.index, "rejected", str(item.reason), item.detail)
        case Trade():
            rest = (item.sequence, item.tape, item.exchange)
        case Correction() | Cancel():
            rest = (None, None, None)
    values: Outcome = (None, None, None, None)
    if not isinstance(item, Cancel):
        codes = None if item.conditions is None else list(item.conditions)
        values = (item.price, item.size, notional(item.price, item.size), codes)
    kind = {Trade: "trade", Cancel: "cancel", Correction: "correct"}[type(item)]
    key = (item.symbol, item.venue, item.id, item.event_ns, item.received_ns)
    return (row, item.position.index, kind, *key, *values, *rest)


def by_reference(contract: Contract, asked: Sequence[ReceivedPayload]) -> list[Outcome]:
    outcomes = []
    for row, item in enumerate(asked):
        context = Context(
            contract.feed, item.key, item.day, item.received_ns, "t", 0, row, item.record_ms
        )
        outcomes += [
            of_reference(row, result)
            for result in reference_decode(item.payload, contract, context, LIMITS)
        ]
    return outcomes


def records_of(contract: Contract, asked: Sequence[ReceivedPayload]) -> pa.Table:
    rows = [
        {"topic": "t", "partition": 0, "offset": row, "record_ms": item.record_ms,
         "key": item.key, "value": item.payload, "feed": contract.feed,
         "received_ns": item.received_ns, "day": item.day}
        for row, item in enumerate(asked)
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, RECORDS)


COLUMNS = (
    "record", "index", "kind", "symbol", "venue", "id", "event_ns", "received_ns", "price",
    "size", "notional", "conditions", "sequence", "tape", "exchange",
)  # fmt: skip


def by_kernel(contract: Contract, asked: Sequence[ReceivedPayload]) -> tuple[list[Outcome], int]:
    decoded = decode(records_of(contract, asked), contract, LIMITS)
    events = [tuple(row[name] for name in COLUMNS) for row in decoded.events.to_pylist()]
    rejections = [
        (row["record"], row["index"], "rejected", row["reason"], row["detail"])
        for row in decoded.rejections.to_pylist()
    ]
    places = [outcome[:2] for outcome in events]
    assert places == sorted(places)
    return sorted([*events, *rejections], key=lambda outcome: outcome[:2]), decoded.fast


def assert_alike(contract: Contract, asked: Sequence[ReceivedPayload]) -> int:
    """Compare both readings of all payloads; return how many the fast lane read."""
    got, fast = by_kernel(contract, asked)
    want = by_reference(contract, asked)
    if got != want:
        first = next(
            (pair for pair in zip(got, want, strict=False) if pair[0] != pair[1]),
            (len(got), len(want)),
        )
        row = first[0][0] if isinstance(first[0], tuple) else -1
        pytest.fail(f"{asked[row].payload!r}\nkernel    {first[0]}\nreference {first[1]}")
    return fast


@pytest.mark.parametrize("feed", contract_names())
def test_whole_and_damaged_payloads_are_read_alike(feed: str) -> None:
    contract = load_contract(feed)

    assert_alike(contract, whole_and_damaged(contract))


@pytest.mark.parametrize("feed", FORMATS)
def test_ordinary_payloads_stay_on_the_fast_lane(feed: str) -> None:
    plan = SimulationPlan(date(2026, 11, 20), feed=feed, trades=300, faults=NO_FAULTS)
    asked = [
        ReceivedPayload(item.payload, item.key, None, item.received_ns)
        for item in simulate(plan).records
    ]

    assert by_kernel(load_contract(feed), asked)[1] == len(asked)


def test_times_around_the_stamp_are_judged_alike() -> None:
    assert_alike(load_contract("truetape"), around_stamp())


@pytest.mark.data
@pytest.mark.parametrize(
    ("feed", "name"), [(feed, name) for feed, files in FRAMES.items() for name in files]
)
def test_captured_frames_are_read_alike(feed: str, name: str) -> None:
    asked = list(recorded(real_data("crypto_raw_ws_frames", name), feed))

    assert asked
    assert_alike(load_contract(feed), asked)


@pytest.mark.data
def test_a_real_page_of_trades_is_read_alike() -> None:
    page = real_data("kraken_xbtusdt_2025-11-10", "http_trades.json")

    assert_alike(load_contract("kraken-rest"), list(recorded(page, "kraken-rest")))


ERA = """
eras: [{since: 2026-11-21, trade: {when: [{path: type, is: [match]}], price: size, size: price}}]
"""
MIDNIGHT_NS = 1_795_219_200_000_000_000
"""2026-11-21T00:00:00Z; a double has only every 256th nanosecond there."""


def match_of(received_ns: int | None, day: date | None = None) -> ReceivedPayload:
    payload = (
        b'{"type":"match","trade_id":5,"size":"2","price":"3","product_id":"IBM","sequence":5,'
        b'"time":"2026-11-20T05:50:44Z"}'
    )
    return ReceivedPayload(payload, received_ns=received_ns, day=day)


def contract_of(file: Path, ending: str = "") -> Contract:
    shipped = folder("schemas") / "feeds" / "coinbase.yaml"
    file.write_text(shipped.read_text("utf-8") + ending)
    return read_contract(file)


def test_eras_are_chosen_alike_to_the_nanosecond(tmp_path: Path) -> None:
    """Both eras swap price and size, so that the chosen one shows."""
    edges = [MIDNIGHT_NS + offset for offset in (-256, -1, 0, 1, 255)]
    days = [date(2026, 11, 20), date(2026, 11, 21), None]
    asked = [match_of(instant) for instant in (*edges, -1, -(2**62))]
    asked += [match_of(None, day) for day in days]
    contract = contract_of(tmp_path / "coinbase.yaml", ERA)

    prices = {outcome[8] for outcome in by_reference(contract, asked) if outcome[2] == "trade"}
    assert prices == {2, 3}
    assert_alike(contract, asked)


def test_a_changed_contract_of_the_same_name_and_version_is_compiled_anew(tmp_path: Path) -> None:
    before = contract_of(tmp_path / "coinbase.yaml")
    assert_alike(before, [match_of(MIDNIGHT_NS)])
    text = (tmp_path / "coinbase.yaml").read_text("utf-8")
    (tmp_path / "coinbase.yaml").write_text(text.replace("  size: size", "  size: price"))

    assert_alike(read_contract(tmp_path / "coinbase.yaml"), [match_of(MIDNIGHT_NS)])


def test_ordered_ids_are_sequences_where_they_are_numbers(tmp_path: Path) -> None:
    file = tmp_path / "coinbase.yaml"
    contract_of(file)
    text = file.read_text("utf-8").replace("{per: day}", "{per: day, ordered: true}")
    file.write_text(text.replace("  sequence: sequence\n", ""))
    contract = read_contract(file)
    ids = [b"7", b"0", b'"08"', b'"7a"', b"9" * 18, b'"' + b"9" * 19 + b'"', b"-1", b"1.5"]
    match = match_of(MIDNIGHT_NS)
    asked = [
        replace(match, payload=match.payload.replace(b'"trade_id":5', b'"trade_id":' + name))
        for name in ids
    ]

    sequences = [outcome[12] for outcome in by_reference(contract, asked)]
    assert sequences == [7, 0, 8, None, 10**18 - 1, None, None, None]
    assert_alike(contract, asked)


@pytest.mark.parametrize("shape", ["epoch-s", "epoch-ms", "epoch-us", "iso8601"])
@pytest.mark.parametrize("integer", ["epoch-s", "epoch-ms", "epoch-us", "epoch-ns"])
def test_whole_times_are_read_by_the_shape_of_whole_times(
    tmp_path: Path, shape: str, integer: str
) -> None:
    file = tmp_path / "coinbase.yaml"
    contract_of(file)
    text = file.read_text("utf-8")
    time = f"{{path: time, shape: {shape}, integer: {integer}}}"
    file.write_text(text.replace("{path: time, shape: iso8601}", time))
    contract = read_contract(file)
    seconds = str(MIDNIGHT_NS // 10**9 - 60)
    times = [seconds + "0" * zeros for zeros in (0, 3, 6, 9)] + [f"{seconds}.5", "20261120"]
    match = match_of(MIDNIGHT_NS)
    old = b"2026-11-20T05:50:44Z"
    asked = [replace(match, payload=match.payload.replace(old, time.encode())) for time in times]

    assert any(outcome[2] == "trade" for outcome in by_reference(contract, asked))
    assert_alike(contract, [match, *asked])
