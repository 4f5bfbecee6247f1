"""Put `tests/` on the import path, so that benchmarks can use the tests' aids (`support`)."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
