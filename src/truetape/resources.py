"""Where the versioned data files are: feed contracts, profiles, venues, bucket declarations.

In a checkout they are the top-level folders; in a built wheel they travel inside the package.
"""

from functools import cache
from pathlib import Path

from truetape.errors import ConfigError


@cache
def folder(name: str) -> Path:
    """Return a data folder such as "schemas" or "influx"; ConfigError when the installation lacks
    it.
    """
    package = Path(__file__).resolve().parent
    for root in (package / "_data", package.parents[1]):
        if (root / name).is_dir():
            return root / name
    raise ConfigError(
        f"no {name}/ folder beside the truetape package in {package}; reinstall truetape"
    )
