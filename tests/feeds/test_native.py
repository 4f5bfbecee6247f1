"""Native lines: encoding and decoding returns the same event."""

from decimal import Decimal

import pytest

from support.build import READ_MS, cancel, correction, trade
from truetape.feeds.contract import load_contract
from truetape.feeds.decoder import Context, Limits, decode
from truetape.feeds.native import encode, encode_rejected, iso, plain
from truetape.market.rejection import Reason, Rejected
from truetape.market.trades import Event

EVENTS = [
    trade("100.00", "0.50000000"),
    trade("100", id="17", sequence=17, conditions=("@", "F"), tape="A", exchange="P"),
    cancel("17"),
    cancel("17", event_ns=1_795_185_070_000_000_001),
    correction("17", "100.01", "3"),
    correction("17", "100.01", "3", conditions=()),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_a_native_line_decodes_to_its_event(event: Event) -> None:
    place = event.position
    context = Context(
        "truetape", None, None, None, place.topic, place.partition, place.offset, READ_MS
    )

    assert decode(encode(event).encode(), load_contract("truetape"), context, Limits()) == [event]


@pytest.mark.parametrize(
    ("instant_ns", "text"),
    [
        (1_795_185_070_000_000_000, "2026-11-20T14:31:10Z"),
        (1_795_185_070_500_000_000, "2026-11-20T14:31:10.500Z"),
        (1_795_185_070_000_001_000, "2026-11-20T14:31:10.000001Z"),
        (1_795_185_070_000_000_001, "2026-11-20T14:31:10.000000001Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
    ],
    ids=str,
)
def test_times_have_0_3_6_or_9_decimals(instant_ns: int, text: str) -> None:
    assert iso(instant_ns) == text


def test_decimals_have_no_exponent() -> None:
    assert plain(Decimal("1E+3")) == "1000"
    assert plain(Decimal("0.00000001")) == "0.00000001"


def test_a_rejection_names_its_line() -> None:
    rejected = Rejected(Reason.NOT_JSON, 'a "quote"\n', b"{", 0)

    assert encode_rejected(rejected, 3) == (
        '{"kind":"rejected","reason":"not-json","detail":"a \\"quote\\"\\n","index":0,"line":3}'
    )
