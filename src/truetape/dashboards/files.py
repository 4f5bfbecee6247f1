"""The files under `grafana/` that `make dashboards` writes. Needs no Grafana."""

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


def file_texts() -> Mapping[str, str]:
    """Return the text of each file, by its path below `grafana/`."""
    texts = {
        f"dashboards/{board.folder}/{board.uid}.json": json.dumps(dashboard(board), indent=1) + "\n"
        for board in BOARDS
    }
    return texts | {"provisioning/alerting/truetape.yaml": alerts.provisioning()}


def write(root: Path) -> list[Path]:
    """Write every file and delete boards that no longer exist; return the written paths."""
    texts = {root / name: text for name, text in file_texts().items()}
    for stale in set(root.glob("dashboards/**/*.json")) - texts.keys():
        stale.unlink()
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(texts)


if __name__ == "__main__":
    for written in write(Path(sys.argv[1])):
        print(written)
