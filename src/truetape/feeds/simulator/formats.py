"""The wire formats that can be simulated, by feed."""

from truetape.feeds.simulator import crypto_formats, equity_formats
from truetape.feeds.simulator.wire_format import Format
from truetape.host.errors import ConfigError

FORMATS = {each.feed: each for each in (*equity_formats.FORMATS, *crypto_formats.FORMATS)}


def format_of(feed: str) -> Format:
    """Return the format of a feed. Raise ConfigError with the feeds that can be simulated."""
    if feed not in FORMATS:
        raise ConfigError(f"cannot simulate feed {feed!r}; known are {', '.join(FORMATS)}")
    return FORMATS[feed]
