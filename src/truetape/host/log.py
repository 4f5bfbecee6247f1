"""Logging on stderr: an event name and key-values, one line a batch, never one a trade."""

import logging
import sys
from typing import cast

import structlog


def configure(*, verbose: bool = False) -> None:
    """Configure structlog once, in `main`. Without `verbose`, log warnings and errors only."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.INFO if verbose else logging.WARNING
        ),
        logger_factory=_stderr,
        cache_logger_on_first_use=False,
    )
    # urllib3 prints each retry; whoever sent the request reports the last failure
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)


def logger(room: str) -> structlog.stdlib.BoundLogger:
    """Return the logger of a room, such as "speed" or "serving".

    It writes to stderr also in a program that has configured no log: stdout belongs to its data.
    """
    if not structlog.is_configured():
        configure()
    return cast(structlog.stdlib.BoundLogger, structlog.get_logger(room=room))


def _stderr(*_: object) -> structlog.PrintLogger:
    return structlog.PrintLogger(sys.stderr)
