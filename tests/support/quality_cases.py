"""One way to break each gate rule: what is changed in a good session, and the row that shows it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

import pyarrow as pa

from support.build import SECOND, cancel, trade
from support.session_lake import CLOSE, FRIDAY, NOON, LakeSession, Row, raw_row
from truetape.market.trades import Position

SECOND_OF_NOON = {"symbol": "SOLO", "start_ns": str(NOON)}


@dataclass(frozen=True, slots=True)
class Case:
    """A change of a good session that breaks `rule`.

    `also` are rules that cannot hold when this one does not: a low below zero needs a price below
    zero. `shows` is what one of the rows in the report says.
    """

    rule: str
    change: Callable[[LakeSession], None]
    shows: Mapping[str, str]
    also: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.rule} {self.change.__name__}"

    @property
    def suite(self) -> str:
        """Return the suite of the rule."""
        return {"T": "trades", "B": "bars", "R": "reconciliation"}[self.rule[0]]


def a_column_too_many(made: LakeSession) -> None:
    made.schemas["trades"] = made.schemas["trades"].append(pa.field("extra", pa.string()))


def no_receipt_time(made: LakeSession) -> None:
    made.trade("SOLO")["received_ns"] = None


def receipt_times_as_doubles(made: LakeSession) -> None:
    for row in made.trades + made.before:
        row["received_ns"] = float(row["received_ns"])
    retype(made, "trades", "received_ns", pa.float64())


def a_price_of_nothing(made: LakeSession) -> None:
    cancelled(made)["price"] = Decimal(0)


def a_negative_size(made: LakeSession) -> None:
    cancelled(made)["size"] = Decimal(-1)


def a_line_break_in_a_symbol(made: LakeSession) -> None:
    made.trade("SOLO")["symbol"] = "SO\nLO"
    made.fold()


def a_repeat_that_counts(made: LakeSession) -> None:
    (repeat,) = [row for row in made.trades if row["duplicate"] and row["symbol"] == "IBM"]
    repeat["duplicate"] = False
    made.fold()


def a_trade_from_the_future(made: LakeSession) -> None:
    made.trade("SOLO")["received_ns"] = NOON - 1_000_000_001


def an_unknown_condition(made: LakeSession) -> None:
    made.trade("SOLO")["known"] = False


def a_cancel_of_nothing(made: LakeSession) -> None:
    archive(made, cancel("9999", NOON, symbol="IBM"))


def a_second_cancel(made: LakeSession) -> None:
    archive(made, cancel("1008", NOON, symbol="IBM"))


def a_record_lost(made: LakeSession) -> None:
    made.raw = [row for row in made.raw if row["events"]]


def a_record_twice(made: LakeSession) -> None:
    made.raw += [row for row in made.raw if not row["events"]]


def two_trades_of_one_place(made: LakeSession) -> None:
    made.trade("SOLO")["offset"] = made.trade("IBM", 20)["offset"]


def a_trade_of_the_next_day(made: LakeSession) -> None:
    row = cancelled(made)
    row["event_ns"] = row["received_ns"] = FRIDAY.end_ns


def a_trade_archived_since(made: LakeSession) -> None:
    archive(made, trade(symbol="IBM", id="7777", event_ns=NOON, received_ns=NOON))


def a_cancel_not_applied(made: LakeSession) -> None:
    cancelled(made)["cancelled"] = False
    made.fold()


def a_column_of_bars_too_many(made: LakeSession) -> None:
    made.schemas["bars"] = made.schemas["bars"].append(pa.field("extra", pa.string()))


def a_wider_place(made: LakeSession) -> None:
    retype(made, "bars", "seq", pa.int64())


def a_served_bar_without_a_close(made: LakeSession) -> None:
    made.trade("SOLO")["open_close"] = False
    made.fold()
    for row in solo(made):
        row["served"] = True


def an_open_above_the_high(made: LakeSession) -> None:
    open_out_of_range(made, Decimal(51))


def an_open_below_the_low(made: LakeSession) -> None:
    open_out_of_range(made, Decimal(49))


def a_low_above_the_high(made: LakeSession) -> None:
    for row in solo(made):
        row["high"] = Decimal("49.99")


def a_low_below_zero(made: LakeSession) -> None:
    for row in solo(made):
        row["low"] = Decimal("-0.01")


def a_negative_volume(made: LakeSession) -> None:
    for row in solo(made):
        row["volume"] = Decimal(-1)


def volume_of_no_trade(made: LakeSession) -> None:
    for row in solo(made):
        row["trades"] = 0


def a_vwap_above_the_high(made: LakeSession) -> None:
    for row in solo(made):
        row["vwap"] = Decimal("50.00000001")


def a_vwap_of_other_trades(made: LakeSession) -> None:
    row = made.bar("IBM", "1h")
    row["vwap"] += Decimal("0.00000001")


def a_place_too_far(made: LakeSession) -> None:
    made.bar("SOLO", "1m")["seq"] += 1


def a_bar_twice(made: LakeSession) -> None:
    made.bars.append(dict(made.bar("SOLO", "1h")))


def a_day_twice(made: LakeSession) -> None:
    made.bars.append(dict(made.bar("SOLO", "1d")))


def a_bar_of_the_next_day(made: LakeSession) -> None:
    row = made.trade("SOLO")
    row["event_ns"] = row["received_ns"] = FRIDAY.end_ns
    made.fold()


def a_bar_of_an_empty_second(made: LakeSession) -> None:
    nothing = dict.fromkeys(("volume", "notional", "priced_volume"), Decimal(0))
    none = dict.fromkeys(("open", "high", "low", "close", "vwap", "first", "last"))
    row = made.bar("SOLO", "1s")
    place = {"start_ns": row["start_ns"] + SECOND, "seq": row["seq"] + 1}
    made.bars.append(row | nothing | none | place | {"trades": 0, "served": False})


def five_minutes_of_other_volume(made: LakeSession) -> None:
    made.bar("IBM", "5m")["volume"] += 1


def a_price_that_trebles(made: LakeSession) -> None:
    made.trade("IBM", 1)["price"] = Decimal(541)
    made.fold()


def a_bar_after_any_receipt(made: LakeSession) -> None:
    for row in made.trades:
        row["received_ns"] = min(row["received_ns"], CLOSE)


def no_profile(made: LakeSession) -> None:
    for row in solo(made):
        row["profile_version"] = None


def volume_that_nobody_traded(made: LakeSession) -> None:
    for row in solo(made):
        row["volume"] += 1


def another_profile(made: LakeSession) -> None:
    for row in made.bars:
        row["profile"] = "all"


CASES = (
    Case("T1", a_column_too_many, {}),
    Case("T2", no_receipt_time, {"symbol": "SOLO", "received_ns": ""}),
    Case("T3", receipt_times_as_doubles, {}),
    Case("T4", a_price_of_nothing, {"symbol": "IBM", "id": "1008", "price": "0"}),
    Case("T5", a_negative_size, {"symbol": "IBM", "id": "1008", "size": "-1"}),
    Case("T6", a_line_break_in_a_symbol, {"topic": "trades", "partition": "0"}),
    Case("T8", a_repeat_that_counts, {"symbol": "IBM", "id": "1003", "feed": "truetape"}),
    Case("T10", a_trade_from_the_future, {"symbol": "SOLO", "ahead_ns": "1000000001"}),
    Case("T15", an_unknown_condition, {"symbol": "SOLO", "known": "false"}),
    Case("T16", a_cancel_of_nothing, {"kind": "cancel", "id": "9999", "found": "false"}),
    Case("T18", a_second_cancel, {"symbol": "IBM", "id": "1008", "cancels": "2"}),
    Case("T28", a_record_lost, {"topic": "trades", "partition": "0", "holes": "1"}),
    Case("T28", a_record_twice, {"topic": "trades", "partition": "0", "repeats": "1"}),
    Case("T29", two_trades_of_one_place, {"symbol": "SOLO"}),
    Case("T30", a_trade_of_the_next_day, {"id": "1008", "event_ns": str(FRIDAY.end_ns)}),
    Case("T31", a_trade_archived_since, {"archived": "86", "recomputed": "85"}),
    Case("T32", a_cancel_not_applied, {"kind": "cancel", "id": "1008", "applied": "false"}),
    Case("B1", a_column_of_bars_too_many, {}),
    Case("B1", a_wider_place, {}),
    Case("B2", a_served_bar_without_a_close, SECOND_OF_NOON | {"close": ""}),
    Case("B3", an_open_above_the_high, SECOND_OF_NOON | {"high": "50", "body_top": "51"}),
    Case("B4", an_open_below_the_low, SECOND_OF_NOON | {"low": "50"}),
    Case("B5", a_low_above_the_high, SECOND_OF_NOON | {"high": "49.99"},
         also=("B3", "B8", "B24")),
    Case("B25", a_low_below_zero, SECOND_OF_NOON | {"low": "-0.01"}, also=("B24",)),
    Case("B6", a_negative_volume, SECOND_OF_NOON | {"volume": "-1"}, also=("B24",)),
    Case("B7", volume_of_no_trade, SECOND_OF_NOON | {"trades": "0"}, also=("B24",)),
    Case("B8", a_vwap_above_the_high, SECOND_OF_NOON | {"vwap": "50.00000001"}, also=("B9",)),
    Case("B9", a_vwap_of_other_trades, {"symbol": "IBM", "resolution": "1h"}),
    Case("B10", a_place_too_far, SECOND_OF_NOON | {"resolution": "1m", "seq_rest": "1"}),
    Case("B11", a_bar_twice, SECOND_OF_NOON | {"resolution": "1h"}),
    Case("B12", a_bar_of_the_next_day, {"start_ns": str(FRIDAY.end_ns)}),
    Case("B13", a_day_twice, {"symbol": "SOLO", "regular": "2", "most": "1"}, also=("B11",)),
    Case("B15", a_bar_of_an_empty_second, {"start_ns": str(NOON + SECOND), "prints": "0"},
         also=("B24",)),
    Case("B16", five_minutes_of_other_volume, {"resolution": "5m", "differs": "volume"}),
    Case("B18", a_price_that_trebles, {"symbol": "IBM", "resolution": "1m"}),
    Case("B19", a_bar_after_any_receipt, {"start_ns": str(CLOSE + 20 * SECOND), "symbol": "KO"}),
    Case("B20", no_profile, SECOND_OF_NOON | {"profile_version": ""}),
    Case("B24", volume_that_nobody_traded, SECOND_OF_NOON | {"differs": "volume"}),
    Case("R20", another_profile, {"profile_recomputed": "all 1", "profile_speed": "sip 1"}),
)  # fmt: skip


def cancelled(made: LakeSession) -> Row:
    """Return IBM's cancelled trade, which no bar is made of."""
    return next(row for row in made.trades if row["cancelled"] and row["symbol"] == "IBM")


def solo(made: LakeSession) -> list[Row]:
    """Return the bars of the symbol that traded once, one of each width."""
    return [row for row in made.bars if row["symbol"] == "SOLO"]


def open_out_of_range(made: LakeSession, price: Decimal) -> None:
    """Let a print set the open without counting for high and low, as a wrong profile would."""
    row = made.trade("SOLO")
    second = row | {"ordinal": 2, "offset": len(made.raw), "id": "2", "price": Decimal(50)}
    row |= {"price": price, "high_low": False, "counts": False}
    made.trades.append(second)
    made.raw.append(raw_row(replace(trade(symbol="SOLO", id="2", event_ns=NOON, received_ns=NOON),
                                    position=Position("trades", 0, len(made.raw)))))  # fmt: skip
    made.fold()


def archive(made: LakeSession, event: object) -> None:
    """Append one event to `raw`, behind all others."""
    place = Position("trades", 0, len(made.raw))
    made.raw.append(raw_row(replace(event, position=place)))  # type: ignore[type-var]


def retype(made: LakeSession, table: str, column: str, kind: pa.DataType) -> None:
    """Give a column of a table another type."""
    schema = made.schemas[table]
    made.schemas[table] = schema.set(schema.get_field_index(column), pa.field(column, kind))
