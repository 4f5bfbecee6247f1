"""Short texts that people and programs give: reasons and symbols. Knows none of those in use."""

from collections.abc import Collection, Iterable

from truetape.host.dates import shown
from truetape.host.errors import ConfigError, NotThereError

MAX_REASON = 500
REPLACE_REVERT = "Replace a reverted session"
"""Title of the form's tick box; messages name it."""
MAX_SYMBOL = 64
MAX_LISTED = 10
"""Symbols that a message lists."""


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


def spelled(text: str, symbols: Collection[str]) -> str:
    """Return the symbol that a text means, as `symbol_among` does; the text itself if there is
    none, or more than one.
    """
    alike = _alike(text, symbols)
    return alike[0] if len(alike) == 1 else text


def _alike(text: str, symbols: Collection[str]) -> list[str]:
    """Return the symbol that a text is, else all that differ from it by their case."""
    if text in symbols:
        return [text]
    return sorted(symbol for symbol in symbols if symbol.casefold() == text.casefold())


def symbol_among(text: str, symbols: Collection[str]) -> str:
    """Return the symbol that a text means: just that, else the only one that differs by its case.

    Raise NotThereError with some of the symbols if there is none, or more than one.
    """
    alike = _alike(text, symbols)
    if len(alike) == 1:
        return alike[0]
    few = ", ".join((alike or sorted(symbols))[:MAX_LISTED])
    more = f" and {len(symbols) - MAX_LISTED:,} more" if len(symbols) > MAX_LISTED else ""
    raise NotThereError(f"no trade of {text}; there are {few}{'' if alike else more}")


def counted(count: int, noun: str, more: str = "") -> str:
    """Return a number with its noun; `more` is the noun's plural if that is no added s."""
    return f"{count:,} {noun if count == 1 else more or noun + 's'}"
