"""The reference decoder: an event or a reason for every record."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from truetape.feeds.contract import load_contract, read_contract
from truetape.feeds.decoder import Context, Limits, decode
from truetape.host.resources import folder
from truetape.market.rejection import Reason, Rejected
from truetape.market.trades import Correction, Event, Trade

NATIVE = load_contract("truetape")
RECEIVED = 1_795_185_070_500_000_000
"""2026-11-20T14:31:10.5Z"""


STAMP_MS = RECEIVED // 1_000_000
"""Kafka stamps a record in the millisecond of its receipt."""


def context(feed: str = "truetape", **known: object) -> Context:
    values: dict[str, object] = {"key": None, "day": None, "received_ns": RECEIVED}
    values["record_ms"] = STAMP_MS
    return Context(feed=feed, topic="trades", partition=2, offset=7, **(values | known))  # type: ignore[arg-type]


def native(**fields: str) -> bytes:
    """Return a native trade with fields replaced by raw JSON; an empty text removes a field."""
    values = {
        "kind": '"trade"',
        "symbol": '"IBM"',
        "venue": '"XNYS"',
        "event_time": '"2026-11-20T14:31:10Z"',
        "price": '"100.00"',
        "size": '"10"',
    }
    present = {name: value for name, value in (values | fields).items() if value}
    return ("{" + ",".join(f'"{name}":{value}' for name, value in present.items()) + "}").encode()


def decoded(payload: bytes, **known: object) -> list[Event | Rejected]:
    return decode(payload, NATIVE, context(**known), Limits())


def decoded_trade(payload: bytes) -> Trade:
    (outcome,) = decoded(payload)
    assert isinstance(outcome, Trade), outcome
    return outcome


def decoded_reason(payload: bytes) -> Reason:
    (outcome,) = decoded(payload)
    assert isinstance(outcome, Rejected), outcome
    assert outcome.payload == payload
    return outcome.reason


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", Reason.EMPTY),
        (b" \r\n", Reason.EMPTY),
        (b"x" * 1_000_001, Reason.TOO_LARGE),
        (b"\xff{}", Reason.NOT_TEXT),
        (b"{", Reason.NOT_JSON),
        (b"{} {}", Reason.NOT_JSON),
        (b'{"kind":NaN}', Reason.NOT_JSON),
        (b"[" * 33 + b"]" * 33, Reason.NOT_JSON),
        (b"[" * 200_000, Reason.NOT_JSON),
        (b'\xef\xbb\xbf{"kind":"trade"}', Reason.NOT_JSON),
        (b"[]", Reason.NOT_A_TRADE),
        (b"17", Reason.NOT_A_TRADE),
        (native(kind='"quote"'), Reason.NOT_A_TRADE),
        (native(symbol=""), Reason.MISSING_FIELD),
        (native(symbol="null"), Reason.MISSING_FIELD),
        (native(event_time=""), Reason.MISSING_FIELD),
        (native(price=""), Reason.MISSING_FIELD),
        (native(symbol='"IBM\\nbar,symbol=X close=1"'), Reason.BAD_SYMBOL),
        (native(symbol='"A "'), Reason.BAD_SYMBOL),
        (native(symbol='"A\\u0000"'), Reason.BAD_SYMBOL),
        (native(symbol='"' + "A" * 65 + '"'), Reason.BAD_SYMBOL),
        (native(symbol='{"a":1}'), Reason.BAD_SYMBOL),
        (native(venue='"ATLANTIS"'), Reason.UNKNOWN_VENUE),
        (native(id='"a b"'), Reason.BAD_ID),
        (native(id='""'), Reason.BAD_ID),
        (native(sequence="1.5"), Reason.BAD_NUMBER),
        (native(sequence="9223372036854775808"), Reason.OUT_OF_RANGE),
        (native(price='"NaN"'), Reason.BAD_NUMBER),
        (native(price='"1_000"'), Reason.BAD_NUMBER),
        (native(price='" 1"'), Reason.BAD_NUMBER),
        (native(price="true"), Reason.BAD_NUMBER),
        (native(price="-1"), Reason.OUT_OF_RANGE),
        (native(price="0"), Reason.OUT_OF_RANGE),
        (native(price="1e20"), Reason.OUT_OF_RANGE),
        (native(price="100000000000000000000"), Reason.OUT_OF_RANGE),
        (native(price="1e-19"), Reason.OUT_OF_RANGE),
        (native(price='"0.0000000000000000001"'), Reason.OUT_OF_RANGE),
        (native(price="1e99"), Reason.OUT_OF_RANGE),
        (native(price="1e100"), Reason.OUT_OF_RANGE),
        (native(price="10000000000", size="10000000000"), Reason.OUT_OF_RANGE),
        (native(price="99999999999999999999.9", size="1e-18"), Reason.OUT_OF_RANGE),
        (native(size="-1"), Reason.OUT_OF_RANGE),
        (native(size="1e-19"), Reason.OUT_OF_RANGE),
        (native(conditions='"@"'), Reason.BAD_TEXT),
        (native(conditions='["a,b"]'), Reason.BAD_TEXT),
        (native(conditions='["' + '","'.join("@" * 17) + '"]'), Reason.BAD_TEXT),
        (native(tape='"A B"'), Reason.BAD_TEXT),
        (native(event_time='"2026-11-20"'), Reason.BAD_EVENT_TIME),
        (native(event_time='"2026-11-20T14:31:11.500000001Z"'), Reason.FUTURE_EVENT_TIME),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_bad_payload_is_rejected_with_its_reason(payload: bytes, reason: Reason) -> None:
    assert decoded_reason(payload) is reason


@pytest.mark.parametrize(
    ("text", "price"),
    [
        ("100.00", "100.00"),
        ('"0.000000001"', "0.000000001"),
        ("0.1000000000000", "0.1000000000000"),
        ("0.10e-17", "0.000000000000000001"),
        ("12345678901234567890.123456789012345678", "12345678901234567890.123456789012345678"),
        ("5e19", "50000000000000000000"),
        ("1e2", "100"),
        ('"1.5E-3"', "0.0015"),
        ("999999999.999999999", "999999999.999999999"),
    ],
    ids=str,
)
def test_prices_are_exact_and_keep_their_decimals(text: str, price: str) -> None:
    assert format(decoded_trade(native(price=text, size="1")).price, "f") == price


def test_a_negative_zero_size_loses_its_sign() -> None:
    assert str(decoded_trade(native(size="-0.0")).size) == "0.0"


def test_blank_conditions_mean_a_regular_trade() -> None:
    assert decoded_trade(native(conditions='["@"," ","F"]')).conditions == ("@", "F")
    assert decoded_trade(native(conditions="[]")).conditions == ()


def test_the_last_value_of_a_repeated_name_counts() -> None:
    assert decoded_trade(native()[:-1] + b',"symbol":"MSFT"}').symbol == "MSFT"


def test_a_position_is_topic_partition_offset_and_index() -> None:
    payload = b'[993,[["1","2","1795185070.1"],["0","2","1795185070.1"],["3","2","1795185070.2"]],'
    payload += b'"trade","XBT/USD"]'

    first, second, third = decode(payload, load_contract("kraken"), context("kraken"), Limits())

    assert isinstance(first, Trade)
    assert isinstance(second, Rejected)
    assert isinstance(third, Trade)
    assert (second.reason, second.index, second.payload) == (Reason.OUT_OF_RANGE, 1, payload)
    assert (first.position.offset, first.position.index, third.position.index) == (7, 0, 2)


def test_a_bad_record_does_not_affect_the_records_beside_it() -> None:
    good = (
        b'{"T":"t","S":"IBM","i":1,"x":"N","p":1,"s":2,"c":[],"z":"A","t":"2026-11-20T14:31:10Z"}'
    )
    payload = b"[" + good + b',null,17,[],{"T":"t"},' + good + b"]"

    outcomes = decode(payload, load_contract("alpaca"), context("alpaca"), Limits())

    kinds = [o.reason if isinstance(o, Rejected) else "trade" for o in outcomes]
    assert kinds == ["trade", *[Reason.NOT_A_TRADE] * 3, Reason.MISSING_FIELD, "trade"]


def test_a_payload_without_records_is_rejected() -> None:
    (outcome,) = decode(b"[]", load_contract("alpaca"), context("alpaca"), Limits())

    assert isinstance(outcome, Rejected)
    assert outcome.reason is Reason.NOT_A_TRADE


def test_the_same_id_on_two_exchanges_gives_two_ids() -> None:
    trade = '{{"T":"t","S":"IBM","i":1,"x":"{}","p":1,"s":2,"z":"A","t":"2026-11-20T14:31:10Z"}}'
    payload = f"[{trade.format('N')},{trade.format('P')}]".encode()

    outcomes = decode(payload, load_contract("alpaca"), context("alpaca"), Limits())

    assert [o.id for o in outcomes if isinstance(o, Trade)] == ["N:1", "P:1"]


class TestReceiptTime:
    def test_the_receipt_time_of_the_payload_comes_first(self) -> None:
        trade = decoded_trade(native(received_time='"2026-11-20T14:31:10.25Z"'))

        assert trade.received_ns == 1_795_185_070_250_000_000

    def test_the_recorded_receipt_comes_second(self) -> None:
        assert decoded_trade(native()).received_ns == RECEIVED

    def test_the_event_time_comes_last(self) -> None:
        (trade,) = decoded(native(), received_ns=None)

        assert isinstance(trade, Trade)
        assert trade.received_ns == trade.event_ns

    def test_a_cancel_without_any_time_is_rejected(self) -> None:
        payload = b'{"kind":"cancel","symbol":"IBM","id":"1"}'
        (outcome,) = decoded(payload, received_ns=None)

        assert isinstance(outcome, Rejected)
        assert outcome.reason is Reason.MISSING_FIELD


STAMP_END = STAMP_MS * 1_000_000 + 999_999
SLACK = Limits().future_slack_ns
FAR = '"2098-01-02T15:00:00Z"'
CANCEL = {"kind": '"cancel"', "id": '"1"', "event_time": "", "price": "", "size": ""}


class TestTheStamp:
    """Kafka's stamp bounds every time of a record, whoever states it."""

    @pytest.mark.parametrize(
        ("payload", "header", "reason"),
        [
            (native(event_time=FAR), None, Reason.FUTURE_EVENT_TIME),
            (native(event_time=FAR), RECEIVED, Reason.FUTURE_EVENT_TIME),
            (native(event_time=str(STAMP_END + SLACK + 1)), None, Reason.FUTURE_EVENT_TIME),
            (
                native(event_time=str(STAMP_END + SLACK + 1), received_time=str(STAMP_END + SLACK)),
                None,
                Reason.FUTURE_EVENT_TIME,
            ),
            (native(received_time=FAR), None, Reason.FUTURE_RECEIPT_TIME),
            (native(received_time=FAR), RECEIVED, Reason.FUTURE_RECEIPT_TIME),
            (
                native(received_time=str(STAMP_END + SLACK + 1)),
                RECEIVED,
                Reason.FUTURE_RECEIPT_TIME,
            ),
            (native(), STAMP_END + SLACK + 1, Reason.FUTURE_RECEIPT_TIME),
            (native(), 2**63 - 1, Reason.FUTURE_RECEIPT_TIME),
            (native(received_time=str(RECEIVED)), 2**63 - 1, Reason.FUTURE_RECEIPT_TIME),
            (native(event_time=FAR, received_time=FAR), None, Reason.FUTURE_RECEIPT_TIME),
            (native(**CANCEL), 2**63 - 1, Reason.FUTURE_RECEIPT_TIME),
            (native(**CANCEL | {"event_time": FAR}), None, Reason.FUTURE_EVENT_TIME),
            (native(**CANCEL | {"received_time": FAR}), None, Reason.FUTURE_RECEIPT_TIME),
        ],
    )
    def test_no_time_may_lie_beyond_it(
        self, payload: bytes, header: int | None, reason: Reason
    ) -> None:
        (outcome,) = decoded(payload, received_ns=header)

        assert isinstance(outcome, Rejected)
        assert outcome.reason is reason

    @pytest.mark.parametrize(
        ("payload", "header"),
        [
            (native(event_time=str(STAMP_END + SLACK)), None),
            (native(received_time=str(STAMP_END + SLACK)), None),
            (native(), STAMP_END + SLACK),
        ],
        ids=["event", "payload", "header"],
    )
    def test_the_slack_is_counted_from_the_end_of_its_millisecond(
        self, payload: bytes, header: int | None
    ) -> None:
        (outcome,) = decoded(payload, received_ns=header)

        assert isinstance(outcome, Trade), outcome

    @pytest.mark.parametrize("header", [None, 1_381_152_600_000_000_000], ids=["absent", "header"])
    def test_replayed_history_lies_before_it(self, header: int | None) -> None:
        (trade,) = decoded(native(event_time='"2013-10-07T13:30:00Z"'), received_ns=header)

        assert isinstance(trade, Trade)
        assert trade.received_ns == trade.event_ns == 1_381_152_600_000_000_000

    def test_a_negative_receipt_time_is_only_early(self) -> None:
        (outcome,) = decoded(native(), received_ns=-5)

        assert isinstance(outcome, Rejected)
        assert outcome.reason is Reason.FUTURE_EVENT_TIME

    def test_records_beside_a_future_one_are_accepted(self) -> None:
        payload = b'[993,[["1","2","1795185070.1"],["1","2","4039686000.0"]],"trade","XBT/USD"]'
        known = context("kraken", received_ns=None)

        first, second = decode(payload, load_contract("kraken"), known, Limits())

        assert isinstance(first, Trade)
        assert isinstance(second, Rejected)
        assert (second.reason, second.index) == (Reason.FUTURE_EVENT_TIME, 1)


class TestCorrections:
    PAYLOAD = b'{"kind":"correct","symbol":"IBM","id":"1","price":"2","size":"3"%s}'

    def test_a_correction_without_conditions_has_none_to_set(self) -> None:
        (outcome,) = decoded(self.PAYLOAD % b"")

        assert isinstance(outcome, Correction)
        assert outcome.conditions is None
        assert outcome.event_ns is None

    def test_a_correction_with_an_empty_list_removes_the_conditions(self) -> None:
        (outcome,) = decoded(self.PAYLOAD % b',"conditions":[]')

        assert isinstance(outcome, Correction)
        assert outcome.conditions == ()


class TestTimesOfDay:
    LEAN = load_contract("lean-equity-tick")
    PAYLOAD = b"34200000,1000000,1,P,0,0"

    def trade(self, **known: object) -> Trade:
        (outcome,) = decode(self.PAYLOAD, self.LEAN, context("lean", key="ibm", **known), Limits())
        assert isinstance(outcome, Trade), outcome
        return outcome

    def test_a_time_of_day_is_of_the_day_of_the_file(self) -> None:
        """09:30 in New York is 13:30 in UTC in October."""
        trade = self.trade(day=date(2013, 10, 7), received_ns=None)

        assert trade.event_ns == 1_381_152_600_000_000_000

    def test_without_a_file_a_time_of_day_is_of_the_local_receipt_date(self) -> None:
        """Received at 01:00 UTC on the 8th, which is the evening of the 7th in New York."""
        trade = self.trade(received_ns=1_381_194_000_000_000_000)

        assert trade.event_ns == 1_381_152_600_000_000_000


def test_an_era_is_chosen_by_the_receipt_date(tmp_path: Path) -> None:
    """A feed that goes from milliseconds to microseconds does so at a date, not by magnitude."""
    milliseconds = (folder("schemas") / "feeds" / "binance.yaml").read_text()
    era = "{since: 2025-01-01, trade: {event_time: {path: T, shape: epoch-us}}}"
    file = tmp_path / "binance.yaml"
    file.write_text(f"{milliseconds}\neras: [{era}]\n")
    contract = read_contract(file)
    payload = b'{"e":"trade","s":"A","t":1,"p":"1","q":"1","T":%s}'

    def answer(time: bytes, received_ns: int | None) -> object:
        known = context("binance", received_ns=received_ns)
        (outcome,) = decode(payload % time, contract, known, Limits())
        return outcome.reason if isinstance(outcome, Rejected) else outcome.event_ns

    new_year = 1_735_689_600_000_000_000
    assert answer(b"1735689599000", new_year - 1) == new_year - 1_000_000_000
    assert answer(b"1735689599000000", new_year) == new_year - 1_000_000_000
    assert answer(b"1735689599000", new_year) is Reason.IMPLAUSIBLE_EVENT_TIME
    assert answer(b"1735689599000000", None) == new_year - 1_000_000_000


def test_a_scaled_price_is_exact() -> None:
    assert load_contract("databento-csv").trade.price.shift == 9
    line = b"1795185070218300123,1795185070218218853,0,2,1,T,A,0,1,100,0,0,1,IBM"

    (trade,) = decode(line, load_contract("databento-csv"), context("databento-csv"), Limits())

    assert isinstance(trade, Trade)
    assert trade.price == Decimal("0.000000001")
