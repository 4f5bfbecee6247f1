"""The files under `grafana/` that are made here: `make dashboards` writes them. Asks no Grafana."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from truetape.dashboards import (
    alerts,
    batch_operations,
    market,
    pipeline_health,
    speed_against_batch,
    storage,
)
from truetape.dashboards.board import Board, dashboard

BOARDS: tuple[Board, ...] = (
    market.BOARD,
    speed_against_batch.BOARD,
    pipeline_health.BOARD,
    batch_operations.BOARD,
    storage.BOARD,
)


def made() -> Mapping[str, str]:
    """Return the text of each file, by its path below `grafana/`."""
    texts = {
        f"dashboards/{board.folder}/{board.uid}.json": json.dumps(dashboard(board), indent=1) + "\n"
        for board in BOARDS
    }
    return texts | {"provisioning/alerting/truetape.yaml": alerts.provisioning()}


def write(root: Path) -> list[Path]:
    """Write every file, remove boards that are made no longer, and return what was written."""
    wanted = {root / name: text for name, text in made().items()}
    for stale in set(root.glob("dashboards/**/*.json")) - wanted.keys():
        stale.unlink()
    for path, text in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(wanted)


if __name__ == "__main__":
    for written in write(Path(sys.argv[1])):
        print(written)
