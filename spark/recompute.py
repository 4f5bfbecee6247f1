"""Entry point of the recompute: one session's trades and bars from the lake, exactly."""

import argparse
import sys
from pathlib import Path

from truetape.batch.jobs import recompute_once
from truetape.host.calendars import parse_session
from truetape.host.entry_points import run_job
from truetape.host.private_home import current_settings


def recompute(venue: str, day: str, *, dirty: bool) -> dict[str, object]:
    """Recompute, and return the counts."""
    found = recompute_once(current_settings(), parse_session(venue, day), dirty=dirty)
    return {
        "trades": found.trades,
        "duplicates": found.duplicates,
        "cancelled": found.cancelled,
        "corrected": found.corrected,
        "unknown_conditions": found.unknown_conditions,
        "bars": dict(found.bars),
        "mixed_contracts": [str(feed) for feed in found.contracts if not feed.is_uniform],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--venue", required=True)
    parser.add_argument("--session", required=True, help="its date, like 2026-11-20")
    parser.add_argument("--dirty", action="store_true", help="only symbols that are marked dirty")
    parser.add_argument("--outcome", type=Path, help="where to write the counts, as JSON")
    chosen = parser.parse_args()
    return run_job(
        "recompute",
        lambda: recompute(chosen.venue, chosen.session, dirty=chosen.dirty),
        chosen.outcome,
    )


if __name__ == "__main__":
    sys.exit(main())
