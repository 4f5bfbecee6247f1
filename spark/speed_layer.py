"""Entry point of the speed layer for spark-submit: settings from the environment, exit codes for
the supervisor. `truetape speed run` is the same without spark-submit.
"""

import argparse
import sys

from truetape.host.entry_points import run_job
from truetape.host.private_home import current_settings
from truetape.speed.entry_point import run_driver


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--order", type=int, help="number of the order to run under")
    parser.add_argument("--after", type=int, help="epoch of the newest driver known at the start")
    given = parser.parse_args()
    return run_job("speed layer", lambda: run_driver(current_settings, given.order, given.after))


if __name__ == "__main__":
    sys.exit(main())
