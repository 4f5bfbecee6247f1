"""Short texts that people and programs give: reasons and symbols. Knows none of those in use."""

from collections.abc import Iterable

from truetape.host.dates import shown
from truetape.host.errors import ConfigError

MAX_REASON = 500
MAX_SYMBOL = 64


def require_reason(text: object, least: int = 1) -> str:
    """Return the reason without outer blanks.

    Raise ConfigError unless it is one line of `least` to `MAX_REASON` printable characters: ledgers
    and Kafka keep it, terminals and pages show it.
    """
    reason = text.strip() if isinstance(text, str) else ""
    if not (least <= len(reason) <= MAX_REASON and reason.isprintable()):
        raise ConfigError(
            f"reason is {shown(text)}; give {least} to {MAX_REASON} printable characters in one "
            "line, since it is stored with what follows"
        )
    return reason


def is_symbol(text: str) -> bool:
    """True for 1 to `MAX_SYMBOL` printable characters of any script, without blanks at the ends.

    Control characters, lone surrogates and blanks other than the space are not printable. Refused
    are also a backslash, which InfluxDB's line protocol cannot keep in a tag before every
    character; `${`, which a query of a Grafana board would run as an expression of Flux; and a
    bracket or brace in front: that is a JSON value in place of a name.
    """
    return (
        0 < len(text) <= MAX_SYMBOL
        and text.isprintable()
        and text.strip() == text
        and not any(mark in text for mark in ("\\", "${"))
        and text[0] not in "[{"
    )


def require_symbol(text: object) -> str:
    """Return the symbol. Raise ConfigError if no feed can have it; see `is_symbol`."""
    if not (isinstance(text, str) and is_symbol(text)):
        raise ConfigError(f"{shown(text)} is not a symbol; write it as it is served, like IBM")
    return text


def require_symbols(symbols: object) -> list[str]:
    """Return a symbol, or several, as a list. Raise ConfigError for anything else."""
    if not isinstance(symbols, str) and isinstance(symbols, Iterable):
        return [require_symbol(symbol) for symbol in symbols]
    return [require_symbol(symbols)]
