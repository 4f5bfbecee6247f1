"""Entry point of the speed layer: settings from the environment, exit codes for the supervisor."""

import sys

from truetape import log
from truetape.errors import TruetapeError
from truetape.settings import Settings
from truetape.speed.job import run


def main() -> int:
    log.configure(verbose=True)
    try:
        run(Settings.from_env())
    except TruetapeError as error:
        print(f"speed layer: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
