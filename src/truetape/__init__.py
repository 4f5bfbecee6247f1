"""truetape: a lambda pipeline for market data whose every bar says what it is made of.

For programs: `read_bars` and `read_trades`. Both load what they need when they are first asked for.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from truetape.history.bars import read_bars
    from truetape.history.trades import read_trades

__version__ = "0.1.0"
__all__ = ["__version__", "read_bars", "read_trades"]

_HOMES = {
    "read_bars": "truetape.history.bars",
    "read_trades": "truetape.history.trades",
}


def __getattr__(name: str) -> Any:
    """Import a function for programs when it is used; whoever needs neither pays for neither."""
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'truetape' has no attribute {name!r}")
