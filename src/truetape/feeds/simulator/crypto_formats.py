"""Wire formats of crypto venues, and of Finnhub.

Reads no contract: the formats follow the vendors' documents and captured frames, so that formats
and contracts check each other.
"""

from collections.abc import Callable

from truetape.feeds.simulator.market import SECOND, SimulatedPrint
from truetape.feeds.simulator.wire_format import MICROSECOND, MILLISECOND, Format, array, iso


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


def _binance_futures_trade(item: SimulatedPrint, received: int, venue: str) -> str:
    return _binance_trade(item, received, venue).replace(',"M":true', "")


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


def _finnhub_frame(records: list[str], _symbol: str) -> str:
    return '{"data":' + array(records, "") + ',"type":"trade"}'


def _kraken_frame(records: list[str], symbol: str) -> str:
    return f'[993,{array(records, "")},"trade","{symbol}"]'


def _kraken_v2_trade(item: SimulatedPrint, _received: int, _venue: str) -> str:
    return (
        f'{{"symbol":"{item.symbol}","side":"buy","price":{item.price},"qty":{item.size},'
        f'"ord_type":"limit","trade_id":{item.number},"timestamp":"{iso(item.event_ns, 6)}"}}'
    )


def _bybit_trade(item: SimulatedPrint, _received: int, _venue: str) -> str:
    return (
        f'{{"T":{item.event_ns // MILLISECOND},"s":"{item.symbol}","S":"Buy","v":"{item.size}",'
        f'"p":"{item.price}","L":"PlusTick","i":"{_uuid(item)}","BT":false}}'
    )


def _uuid(item: SimulatedPrint) -> str:
    return f"{_scattered(item) % 2**32:08x}-0000-5000-8000-{item.number:012x}"


def _scattered(item: SimulatedPrint) -> int:
    """Return a number of its own for each print, in no order."""
    return item.number * 0x9E3779B1 % 2**50


def _okx_trade(item: SimulatedPrint, _received: int, _venue: str) -> str:
    return (
        f'{{"instId":"{item.symbol}","tradeId":"{item.number}","px":"{item.price}",'
        f'"sz":"{item.size}","side":"buy","ts":"{item.event_ns // MILLISECOND}","count":"1"}}'
    )


def _coinbase_advanced_trade(item: SimulatedPrint, _received: int, _venue: str) -> str:
    return (
        f'{{"trade_id":"{item.number}","product_id":"{item.symbol}","price":"{item.price}",'
        f'"size":"{item.size}","side":"BUY","time":"{iso(item.event_ns, 6)}"}}'
    )


def _bitfinex_trade(item: SimulatedPrint, _received: int, _venue: str) -> str:
    sign = "-" if item.number % 2 else ""
    return (
        f'[17,"te",[{item.number},{item.event_ns // MILLISECOND},{sign}{item.size},{item.price}]]'
    )


def _deribit_trade(item: SimulatedPrint, _received: int, _venue: str) -> str:
    return (
        f'{{"trade_seq":{item.number},"trade_id":"ETH-{item.number}",'
        f'"timestamp":{item.event_ns // MILLISECOND},"tick_direction":2,"price":{item.price},'
        f'"mark_price":{item.price},"instrument_name":"{item.symbol}","direction":"sell",'
        f'"amount":{item.size}}}'
    )


def _hyperliquid_trade(item: SimulatedPrint, _received: int, _venue: str) -> str:
    return (
        f'{{"coin":"{item.symbol}","side":"B","px":"{item.price}","sz":"{item.size}",'
        f'"hash":"0x0a4c","time":{item.event_ns // MILLISECOND},"tid":{_scattered(item)},'
        f'"users":["0xb0","0x13"]}}'
    )


def _gemini_trade(item: SimulatedPrint, _received: int, _venue: str) -> str:
    return (
        f'{{"type":"trade","symbol":"{item.symbol}","event_id":{item.number},'
        f'"timestamp":{item.event_ns // MILLISECOND},"price":"{item.price}",'
        f'"quantity":"{item.size}","side":"buy"}}'
    )


def _kucoin_trade(item: SimulatedPrint, _received: int, _venue: str) -> str:
    return (
        f'{{"type":"message","topic":"/market/match:{item.symbol}","subject":"trade.l3match",'
        f'"data":{{"sequence":"{item.number}","type":"match","symbol":"{item.symbol}",'
        f'"side":"buy","price":"{item.price}","size":"{item.size}",'
        f'"tradeId":"{_object_id(item)}","time":"{item.event_ns}"}}}}'
    )


def _object_id(item: SimulatedPrint) -> str:
    return f"5c24{item.number:020x}"


def _alpaca_crypto_trade(item: SimulatedPrint, _received: int, _venue: str) -> str:
    return (
        f'{{"T":"t","S":"{item.symbol}","p":{item.price},"s":{item.size},'
        f'"t":"{iso(item.event_ns)}","i":{item.number},"tks":"B"}}'
    )


def _around(before: str, after: str) -> Callable[[list[str], str], str]:
    """Return the frame that puts records between two texts, of which the first may name SYMBOL."""

    def frame(records: list[str], symbol: str) -> str:
        return before.replace("SYMBOL", symbol) + array(records, symbol) + after

    return frame


FORMATS = (
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
        "binance-futures", "BINANCEFUTURES", equity=False, grid_ns=MILLISECOND,
        trade=_binance_futures_trade, sequence=True,
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
    Format(
        "kraken-v2", "KRAKEN", equity=False, grid_ns=MICROSECOND, trade=_kraken_v2_trade,
        sequence=True, frame=_around('{"channel":"trade","type":"update","data":', "}"), most=4,
    ),
    Format(
        "bybit", "BYBIT", equity=False, grid_ns=MILLISECOND, trade=_bybit_trade, id_of=_uuid,
        frame=_around('{"topic":"publicTrade.SYMBOL","type":"snapshot","data":', "}"), most=4,
    ),
    Format(
        "bybit-spot", "BYBITSPOT", equity=False, grid_ns=MILLISECOND, trade=_bybit_trade,
        id_of=_uuid, most=4,
        frame=_around('{"topic":"publicTrade.SYMBOL","type":"snapshot","data":', "}"),
    ),
    Format(
        "okx", "OKX", equity=False, grid_ns=MILLISECOND, trade=_okx_trade, sequence=True,
        frame=_around('{"arg":{"channel":"trades","instId":"SYMBOL"},"data":', "}"), most=4,
    ),
    Format(
        "coinbase-advanced", "COINBASE", equity=False, grid_ns=MICROSECOND,
        trade=_coinbase_advanced_trade, sequence=True, most=4,
        frame=_around('{"channel":"market_trades","events":[{"type":"update","trades":', "}]}"),
    ),
    Format(
        "bitfinex", "BITFINEX", equity=False, grid_ns=MILLISECOND, trade=_bitfinex_trade,
        sequence=True, names_symbol=False,
    ),
    Format(
        "deribit", "DERIBIT", equity=False, grid_ns=MILLISECOND, trade=_deribit_trade,
        sequence=True, id_of=lambda item: f"ETH-{item.number}", most=4,
        frame=_around(
            '{"jsonrpc":"2.0","method":"subscription","params":{"channel":"trades","data":', "}}"
        ),
    ),
    Format(
        "hyperliquid", "HYPERLIQUID", equity=False, grid_ns=MILLISECOND, trade=_hyperliquid_trade,
        id_of=lambda item: str(_scattered(item)), most=4,
        frame=_around('{"channel":"trades","data":', "}"),
    ),
    Format(
        "gemini", "GEMINI", equity=False, grid_ns=MILLISECOND, trade=_gemini_trade, sequence=True,
    ),
    Format(
        "kucoin", "KUCOIN", equity=False, grid_ns=1, trade=_kucoin_trade, sequence=True,
        id_of=_object_id,
    ),
    Format(
        "alpaca-crypto", "ALPACA", equity=False, grid_ns=1, trade=_alpaca_crypto_trade,
        frame=array, most=4,
    ),
)  # fmt: skip
