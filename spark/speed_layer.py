"""Entry point of the speed layer for spark-submit: settings from the environment, exit codes for
the supervisor. `truetape speed run` is the same without spark-submit.
"""

import argparse
import sys

from truetape import log
from truetape.errors import TruetapeError
from truetape.settings import Settings
from truetape.speed.job import run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--order", type=int, help="number of the order to run under")
    parser.add_argument("--after", type=int, help="epoch of the newest driver known at the start")
    given = parser.parse_args()
    log.configure(verbose=True)
    try:
        run(Settings.from_env(), given.order, given.after)
    except TruetapeError as error:
        print(f"speed layer: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
