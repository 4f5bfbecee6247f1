"""Entry point of the archive: what Kafka has and the lake lacks, and what came of it."""

import argparse
import sys
from pathlib import Path

from truetape.batch.run import archive_once
from truetape.entry import run_job
from truetape.settings import Settings


def archive(settings: Settings) -> dict[str, object]:
    """Archive, and return the counts that are worth an event."""
    found = archive_once(settings)
    holes = [
        f"{hole.topic}/{hole.partition}: offsets {hole.first} to {hole.last}"
        for part in found.partitions
        for hole in part.holes
    ]
    return {
        "records": found.records,
        "rejected": found.rejected,
        "dead_letters": found.dead_letters,
        "holes": holes,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--outcome", type=Path, help="where to write the counts, as JSON")
    chosen = parser.parse_args()
    return run_job("archive", lambda: archive(Settings.from_env()), chosen.outcome)


if __name__ == "__main__":
    sys.exit(main())
