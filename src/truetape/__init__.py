"""truetape: a lambda pipeline for market data whose every bar says what it is made of."""

__version__ = "0.1.0"
