"""Entry point of a backfill: plan it, ingest what is missing, settle the sessions touched."""

import argparse
import sys
from pathlib import Path

from truetape.host.entry_points import run_job
from truetape.host.settings import Settings
from truetape.schedule.backfill_tasks import STEPS, step


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", choices=list(STEPS))
    parser.add_argument("text", help="plan: the form as JSON; ingest: a digest; settle: who asks")
    parser.add_argument("--outcome", type=Path, help="where to write the counts, as JSON")
    chosen = parser.parse_args()
    return run_job(
        "backfill", lambda: step(Settings.from_env(), chosen.step, chosen.text), chosen.outcome
    )


if __name__ == "__main__":
    sys.exit(main())
