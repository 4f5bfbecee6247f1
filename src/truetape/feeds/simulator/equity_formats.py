"""Wire formats of US equity feeds, and of the native feed.

Reads no contract: the formats follow the vendors' documents and captured frames, so that formats
and contracts check each other.
"""

from truetape.feeds.simulator.market import SimulatedPrint
from truetape.feeds.simulator.wire_format import MILLISECOND, Correct, Format, array, iso, tape_of

_CORRECTED = 1_000_000_000
"""Added to the number of a print that gets a new id: more prints than a session has."""


def _native_trade(item: SimulatedPrint, received: int, venue: str) -> str:
    extra = ""
    if item.exchange:
        extra = (
            f',"conditions":{_quoted(item.conditions)}'
            f',"tape":"{tape_of(venue)}","exchange":"{item.exchange}"'
        )
    return (
        f'{{"kind":"trade","symbol":"{item.symbol}","venue":"{venue}","id":"{item.number}",'
        f'"sequence":{item.number},"event_time":"{iso(item.event_ns)}",'
        f'"received_time":"{iso(received)}","price":"{item.price}","size":"{item.size}"{extra}}}'
    )


def _native_cancel(item: SimulatedPrint, received: int, venue: str) -> str:
    return (
        f'{{"kind":"cancel","symbol":"{item.symbol}","venue":"{venue}","id":"{item.number}",'
        f'"received_time":"{iso(received)}"}}'
    )


def _native_correct(item: SimulatedPrint, new: Correct, received: int, venue: str) -> str:
    return (
        f'{{"kind":"correct","symbol":"{item.symbol}","venue":"{venue}","id":"{item.number}",'
        f'"price":"{new.price}","size":"{new.size}","received_time":"{iso(received)}"}}'
    )


def _alpaca_trade(item: SimulatedPrint, _received: int, _venue: str) -> str:
    return (
        f'{{"T":"t","S":"{item.symbol}","i":{item.number},"x":"{item.exchange}",'
        f'"p":{item.price},"s":{item.size},"t":"{iso(item.event_ns)}",'
        f'"c":{_quoted(item.conditions)},"z":"A"}}'
    )


def _alpaca_cancel(item: SimulatedPrint, received: int, _venue: str) -> str:
    return (
        f'{{"T":"x","S":"{item.symbol}","i":{item.number},"x":"{item.exchange}",'
        f'"p":{item.price},"s":{item.size},"a":"C","z":"A","t":"{iso(received)}"}}'
    )


def _alpaca_correct(item: SimulatedPrint, new: Correct, received: int, _venue: str) -> str:
    codes = _quoted(item.conditions)
    return (
        f'{{"T":"c","S":"{item.symbol}","x":"{item.exchange}",'
        f'"oi":{item.number},"op":{item.price},"os":{item.size},"oc":{codes},'
        f'"ci":{_CORRECTED + item.number},"cp":{new.price},"cs":{new.size},"cc":{codes},'
        f'"z":"A","t":"{iso(received)}"}}'
    )


def _polygon_trade(item: SimulatedPrint, _received: int, _venue: str) -> str:
    return (
        f'{{"ev":"T","sym":"{item.symbol}","x":4,"i":"{item.number}","z":1,"p":{item.price},'
        f'"s":{item.size},"t":{item.event_ns // MILLISECOND},"q":{item.number}}}'
    )


def _quoted(codes: tuple[str, ...]) -> str:
    return "[" + ",".join(f'"{code}"' for code in codes) + "]"


FORMATS = (
    Format(
        "truetape",
        None,
        equity=True,
        grid_ns=1,
        trade=_native_trade,
        cancel=_native_cancel,
        correct=_native_correct,
        sequence=True,
        conditions=True,
    ),
    Format(
        "alpaca",
        "XNYS",
        equity=True,
        grid_ns=1,
        trade=_alpaca_trade,
        cancel=_alpaca_cancel,
        correct=_alpaca_correct,
        sequence=True,
        conditions=True,
        recodes=True,
        id_of=lambda item: f"{item.exchange}:{item.number}",
        new_id_of=lambda item: f"{item.exchange}:{_CORRECTED + item.number}",
        frame=array,
        most=4,
    ),
    Format(
        "polygon",
        "XNYS",
        equity=True,
        grid_ns=MILLISECOND,
        trade=_polygon_trade,
        sequence=True,
        id_of=lambda item: f"4:{item.number}",
        exchange="4",
        frame=array,
        most=4,
    ),
)
