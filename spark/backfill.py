"""Entry point of a backfill: plan it, ingest the missing records, finalize affected sessions."""

import argparse
import sys
from pathlib import Path

from truetape.host.entry_points import run_job
from truetape.host.private_home import current_settings
from truetape.pipeline.backfill_steps import STEPS, run_step


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", choices=list(STEPS))
    parser.add_argument("text", help="plan: the form as JSON; ingest: a digest; settle: who asks")
    parser.add_argument("--outcome", type=Path, help="where to write the counts, as JSON")
    chosen = parser.parse_args()
    return run_job(
        "backfill", lambda: run_step(current_settings(), chosen.step, chosen.text), chosen.outcome
    )


if __name__ == "__main__":
    sys.exit(main())
