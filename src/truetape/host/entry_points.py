"""The entry point of a Spark job: turns an expected error into one line and an exit code."""

import sys
from collections.abc import Callable
from pathlib import Path

from truetape.host import log
from truetape.host.errors import TruetapeError
from truetape.host.state_files import write_json
from truetape.host.storage import storage_errors


def run_job(name: str, job: Callable[[], object], outcome: Path | None = None) -> int:
    """Run a job, write its result to `outcome` as JSON, and return the exit code."""
    log.configure(verbose=True)
    try:
        with storage_errors():
            result = job()
            if outcome is not None:
                write_json(outcome, result)
    except TruetapeError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return error.exit_code
    return 0
