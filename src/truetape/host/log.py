"""Logging on stderr: an event name and key-values, one line a batch, never one a trade."""

import logging
import sys
from collections.abc import Callable
from typing import TextIO, cast

import structlog


def configure(*, verbose: bool = False, file: TextIO | None = None) -> None:
    """Configure structlog once, in `main`. Without `verbose`, log warnings and errors only.

    Writes to stderr if no `file` is given.
    """
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.INFO if verbose else logging.WARNING
        ),
        logger_factory=_printer(file or sys.stderr),
        cache_logger_on_first_use=False,
    )
    # urllib3 prints each retry; whoever sent the request reports the last failure
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)


def logger(room: str) -> structlog.stdlib.BoundLogger:
    """Return the logger of a room, such as "speed" or "serving".

    It writes to stderr also in a program that has configured no log: stdout belongs to its data.
    """
    if not structlog.is_configured():
        configure(file=sys.__stderr__)
    return cast(structlog.stdlib.BoundLogger, structlog.get_logger(room=room))


def _printer(file: TextIO) -> Callable[..., structlog.PrintLogger]:
    """Print to a file; to the process's own stderr once that file is closed."""
    return lambda *_: structlog.PrintLogger(sys.__stderr__ if file.closed else file)
