"""Which symbols are served, and on which venues."""

from truetape.host.words import spelled
from truetape.market.resolution import Resolution
from truetape.serving.store import BarStore


def served_symbols(store: BarStore) -> list[str]:
    """Return every symbol that has bars of a minute or a day, in alphabetical order."""
    return sorted({*store.symbols(Resolution.MINUTE), *store.symbols(Resolution.DAY)})


def venues_of(store: BarStore, symbol: str) -> list[str]:
    """Return the venues that have bars of a symbol, of any width, in alphabetical order."""
    return sorted(
        {bar.venue for resolution in Resolution for bar in store.tail(resolution, symbol, 1)}
    )


def as_served(store: BarStore, text: str) -> str:
    """Return the served symbol that a text means, in whatever case; the text if none is alike."""
    return spelled(text, served_symbols(store))
