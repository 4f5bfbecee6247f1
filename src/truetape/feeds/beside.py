"""Beside payloads: the symbol and the date that they lack, from the user or from the file's name.

Opens no file. What a name says is `file_names`' business.
"""

from collections.abc import Iterator, Sequence
from pathlib import PurePath

from truetape.feeds.contract import Contract
from truetape.feeds.fields import Origin
from truetape.feeds.file_names import PACKED, NameParts, has_suffix, parts_of
from truetape.host.errors import ConfigError

NOTHING_GIVEN = NameParts()
NO_TRADE_FILE = "not named as trade files are"
_LOOSE = ".txt"
"""How trade files may end, and notes of people as well."""


def needs_symbol(contract: Contract) -> bool:
    """True if no payload of a feed has its symbol."""
    return any(all(from_key) for from_key in _symbols_from_key(contract))


def reads_symbol(contract: Contract) -> bool:
    """True if the symbol beside a payload has a use."""
    return any(any(from_key) for from_key in _symbols_from_key(contract))


def needs_day(contract: Contract) -> bool:
    """True if no payload of a feed has the date of its times."""
    times = [rule.event_time for era in contract.eras for rule in era.rules if rule.event_time]
    return any(time.spec.needs_day and time.date is None for time in times)


def parts_for(names: Sequence[str], contract: Contract, given: NameParts) -> NameParts:
    """Return the symbol and the day of a file: as given, else as its name says.

    Raise ConfigError if the payloads lack one that nobody says, or a symbol is given in vain.
    """
    if given.symbol and not reads_symbol(contract):
        raise ConfigError(
            f"the payloads of feed {contract.feed} say their symbol; leave out --symbol-is"
        )
    parts = _parts(names, contract, given)
    for lacking, option in _lacking(parts, contract):
        raise ConfigError(
            f"neither the rows nor the name say the {lacking}; give it with {option} "
            f"({_names_known(contract)})"
        )
    return parts


def why_skipped(names: Sequence[str], contract: Contract, given: NameParts) -> str | None:
    """Return why a file of a folder, or of an archive with several, is not read; None if it is.

    `names` as for `parts_for`: the file's own name comes first. Files that somebody names
    themselves are always read.
    """
    own = names[0]
    if (reason := why_no_trade_file(own)) is not None:
        return reason
    if PurePath(own).suffix.lower() == ".zip":
        return None  # its members have names of their own
    for lacking, option in _lacking(_parts(names, contract, given), contract):
        return f"no name says the {lacking} ({option} gives it; {_names_known(contract)})"
    is_known = parts_of([own], contract.file_names) != NameParts()
    if _inner_suffix(own) == _LOOSE and not is_known:
        return "may be a note, since it ends in .txt (name it to read it)"
    return None


def why_no_trade_file(name: str) -> str | None:
    """Return a reason unless a name ends as those of trade files do."""
    return None if has_suffix(name) else NO_TRADE_FILE


def _parts(names: Sequence[str], contract: Contract, given: NameParts) -> NameParts:
    named = parts_of(names, contract.file_names)
    return NameParts(given.symbol or named.symbol, given.day or named.day)


def _lacking(parts: NameParts, contract: Contract) -> Iterator[tuple[str, str]]:
    """Yield what the payloads of a file lack and nobody says, and the option for it."""
    if parts.symbol is None and needs_symbol(contract):
        yield "symbol", "--symbol-is"
    if parts.day is None and needs_day(contract):
        yield "date", "--date-is"


def _names_known(contract: Contract) -> str:
    if not contract.file_names:
        return f"feed {contract.feed} takes nothing from names"
    if contract.file_name_example is None:
        return f"the names of feed {contract.feed} are {' or '.join(contract.file_names)}"
    return f"feed {contract.feed} knows names like {contract.file_name_example}"


def _inner_suffix(name: str) -> str:
    """Return how a name ends without its packings."""
    while (suffix := PurePath(name).suffix.lower()) in PACKED:
        name = name[: -len(suffix)]
    return suffix


def _symbols_from_key(contract: Contract) -> Iterator[list[bool]]:
    for rule in (rule for era in contract.eras for rule in era.rules):
        yield [way.origin is Origin.KEY for way in rule.symbol.path.ways]
