"""TradingView Lightweight Charts, which draws the candles: its file, from an installed package.

Imports nothing of that package: only the file is used. See docs/adr/0050-lightweight-charts.md.
"""

import gzip
import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from truetape.host.errors import ConfigError

PACKAGE = "akquant_lwc"
FILE = Path("assets") / "lightweight-charts.standalone.production.js"
VERSION = "5.2.0"
SHA256 = "c0992580867c4912cc9385b3c2728315bcc1a76c7f1087dca908430fccdf31d7"
"""The digest of the file of that version, as TradingView publishes it on npm."""
INSTALL = "uv sync --frozen"


@cache
def script() -> bytes:
    """Return the script. Raise ConfigError unless it is TradingView's, byte for byte."""
    spec = find_spec(PACKAGE)  # finds the package without importing it
    folders = (spec and spec.submodule_search_locations) or ()
    paths = (Path(folder) / FILE for folder in folders)
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise ConfigError(f"the package {PACKAGE} with {FILE.name} is not installed; run {INSTALL}")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise ConfigError(f"{path} is not Lightweight Charts {VERSION}; run {INSTALL} --reinstall")
    return content


@cache
def compressed_script() -> bytes:
    """Return the script compressed by gzip: once, not per request."""
    return gzip.compress(script(), mtime=0)
