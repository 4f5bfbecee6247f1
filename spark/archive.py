"""Entry point of the archive: what Kafka has and the lake lacks, and what came of it."""

import argparse
import sys
from pathlib import Path

from truetape.batch.jobs import archive_once
from truetape.host.entry_points import run_job
from truetape.host.private_home import current_settings
from truetape.host.settings import Settings
from truetape.lake.completeness import Hole


def archive(settings: Settings, *, recount: bool) -> dict[str, object]:
    """Archive, and return the counts that are worth an event, holes by what can be done."""
    found = archive_once(settings, recount=recount, report=print)
    holes = [hole for part in found.partitions for hole in part.holes]
    return {
        "records": found.records,
        "rejected": found.rejected,
        "dead_letters": found.dead_letters,
        "holes": [_named(hole) for hole in holes if hole.recoverable],
        "lost": [_named(hole) for hole in holes if not hole.recoverable],
        "newly_lost": [_named(hole) for hole in found.newly_lost],
        "dirty": [
            {"venue": venue, "session": str(day), "symbols": symbols}
            for (venue, day), symbols in sorted(found.dirty.items())
        ],
    }


def _named(hole: Hole) -> str:
    return f"{hole.topic}/{hole.partition}: offsets {hole.offsets}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--outcome", type=Path, help="where to write the counts, as JSON")
    parser.add_argument("--recount", action="store_true", help="count all of raw, not what is new")
    chosen = parser.parse_args()
    return run_job(
        "archive", lambda: archive(current_settings(), recount=chosen.recount), chosen.outcome
    )


if __name__ == "__main__":
    sys.exit(main())
