"""Wire formats of the feeds: prints and amendments to payload text.

Reads no contract: the formats follow the vendors' documents and captured frames, so that formats
and contracts check each other.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from truetape.feeds.simulator.market import SECOND, SimulatedPrint
from truetape.host.errors import ConfigError

MICROSECOND, MILLISECOND = 1_000, 1_000_000


@dataclass(frozen=True, slots=True)
class Correct:
    """New values of a print. Its conditions stay."""

    price: str
    size: str


Encode = Callable[[SimulatedPrint, int, str], str]
"""Returns the text of one record from print, receipt time and venue."""


_CORRECTED = 1_000_000_000
"""Added to the number of a print that gets a new id: more prints than a session has."""


@dataclass(frozen=True, slots=True)
class Format:
    """What a feed can express; anything else is left out of its session.

    `venue` is the bar's market, None if the plan chooses it. `grid_ns` is the finest time of the
    feed. Without `ids` there are no duplicates, since nobody could recognise them; without `cancel`
    and `correct` there are no amendments. A feed with `conditions` has tape and reporting exchange
    too; with `recodes` its corrections repeat the conditions. `id_of` returns the id that the
    feed's contract builds, `new_id_of` the one that a correction gives. `exchange` is the only
    exchange of a feed without conditions. `frame` wraps up to `most` records of one symbol into a
    payload.
    """

    feed: str
    venue: str | None
    equity: bool
    grid_ns: int
    trade: Encode
    cancel: Encode | None = None
    correct: Callable[[SimulatedPrint, Correct, int, str], str] | None = None
    ids: bool = True
    sequence: bool = False
    conditions: bool = False
    recodes: bool = False
    id_of: Callable[[SimulatedPrint], str] = lambda item: str(item.number)
    new_id_of: Callable[[SimulatedPrint], str | None] = lambda _: None
    exchange: str | None = None
    frame: Callable[[list[str], str], str] | None = None
    most: int = 1


def format_of(feed: str) -> Format:
    """Return the format of a feed. Raise ConfigError with the feeds that can be simulated."""
    if feed not in FORMATS:
        raise ConfigError(f"cannot simulate feed {feed!r}; known are {', '.join(FORMATS)}")
    return FORMATS[feed]


@lru_cache(maxsize=4_096)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def iso(instant: int, digits: int = 9) -> str:
    """Return ISO 8601 in UTC with a fixed number of decimals."""
    second, fraction = divmod(instant, SECOND)
    return f"{_second(second)}.{f'{fraction:09d}'[:digits]}Z"


def _quoted(codes: tuple[str, ...]) -> str:
    return "[" + ",".join(f'"{code}"' for code in codes) + "]"


def tape_of(venue: str) -> str:
    """Return the tape that a venue's listings are on."""
    return {"XNAS": "C", "ARCX": "B", "BATS": "B", "XASE": "B"}.get(venue, "A")


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


def _finnhub_trade(item: SimulatedPrint, _received: int, _venue: str) -> str:
    return (
        f'{{"c":null,"p":{item.price},"s":"{item.symbol}","t":{item.event_ns // MILLISECOND},'
        f'"v":{item.size}}}'
    )


def _binance_trade(item: SimulatedPrint, received: int, _venue: str) -> str:
    return (
        f'{{"stream":"{item.symbol.lower()}@aggTrade","data":{{"e":"aggTrade",'
        f'"E":{received // MILLISECOND},"s":"{item.symbol}","a":{item.number},"p":"{item.price}",'
        f'"q":"{item.size}","f":{item.number},"l":{item.number},'
        f'"T":{item.event_ns // MILLISECOND},"m":false,"M":true}}}}'
    )


def _coinbase_trade(item: SimulatedPrint, _received: int, _venue: str) -> str:
    return (
        f'{{"type":"match","trade_id":{item.number},"side":"sell","size":"{item.size}",'
        f'"price":"{item.price}","product_id":"{item.symbol}","sequence":{item.number},'
        f'"time":"{iso(item.event_ns, 6)}"}}'
    )


def _kraken_trade(item: SimulatedPrint, _received: int, _venue: str) -> str:
    second, fraction = divmod(item.event_ns, SECOND)
    time = f"{second}.{fraction // MICROSECOND:06d}"
    return f'["{item.price}","{item.size}","{time}","b","m",""]'


def _bitstamp_trade(item: SimulatedPrint, _received: int, _venue: str) -> str:
    return (
        f'{{"data":{{"id":{item.number},"timestamp":"{item.event_ns // SECOND}",'
        f'"amount":{item.size},"amount_str":"{item.size}","price":{item.price},'
        f'"price_str":"{item.price}","type":0,"microtimestamp":"{item.event_ns // MICROSECOND}"}},'
        f'"channel":"live_trades_{item.symbol.lower()}","event":"trade"}}'
    )


def _array(records: list[str], _symbol: str) -> str:
    return "[" + ",".join(records) + "]"


def _finnhub_frame(records: list[str], _symbol: str) -> str:
    return '{"data":' + _array(records, "") + ',"type":"trade"}'


def _kraken_frame(records: list[str], symbol: str) -> str:
    return f'[993,{_array(records, "")},"trade","{symbol}"]'


FORMATS = {
    item.feed: item
    for item in (
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
            frame=_array,
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
            frame=_array,
            most=4,
        ),
        Format(
            "finnhub",
            "FINNHUB",
            equity=False,
            grid_ns=MILLISECOND,
            trade=_finnhub_trade,
            ids=False,
            frame=_finnhub_frame,
            most=4,
        ),
        Format(
            "binance",
            "BINANCE",
            equity=False,
            grid_ns=MILLISECOND,
            trade=_binance_trade,
            sequence=True,
        ),
        Format(
            "coinbase",
            "COINBASE",
            equity=False,
            grid_ns=MICROSECOND,
            trade=_coinbase_trade,
            sequence=True,
        ),
        Format(
            "kraken",
            "KRAKEN",
            equity=False,
            grid_ns=MICROSECOND,
            trade=_kraken_trade,
            ids=False,
            frame=_kraken_frame,
            most=4,
        ),
        Format(
            "bitstamp",
            "BITSTAMP",
            equity=False,
            grid_ns=MICROSECOND,
            trade=_bitstamp_trade,
            sequence=True,
        ),
    )
}
