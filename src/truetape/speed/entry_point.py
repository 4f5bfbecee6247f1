"""The entry point of a driver: where it begins, and its last word if it cannot even begin.

Does not import Spark, so that a machine without it leaves a last word, too.
"""

import os
from collections.abc import Callable
from contextlib import suppress

from truetape.broker.clients import require_listener
from truetape.broker.control_topic import ControlTopic
from truetape.host.errors import ConfigError, TransientError
from truetape.host.log import logger
from truetape.host.settings import Settings
from truetape.speed.control_records import ControlRecords
from truetape.speed.protocol import reported

_PLACE = ("TRUETAPE_KAFKA", "TRUETAPE_TOPIC")
"""Where a driver leaves its last word."""


def run_driver(
    read_settings: Callable[[], Settings], command: int | None = None, after: int | None = None
) -> None:
    """Read the settings and run the driver of `job`.

    Raise ConfigError if the settings are refused, or if this machine cannot import the driver; the
    exit report says so.
    """
    try:
        settings = read_settings()
    except ConfigError as error:
        _report_refused_settings(error)
        raise
    with (
        ControlTopic(settings.kafka) as control,
        reported(ControlRecords(control, settings.topic)),
    ):
        try:
            from truetape.speed.job import run
        except ImportError as error:
            raise ConfigError(
                f"the driver cannot be imported here: {error}; install what uv.lock names"
            ) from error
    run(settings, command, after)


def _report_refused_settings(error: ConfigError) -> None:
    """Leave a last word by the two settings that say where, if these are right."""
    try:
        place = Settings.from_env({name: os.environ[name] for name in _PLACE if name in os.environ})
    except ConfigError:
        return
    try:
        require_listener(place.kafka)  # a client would try for half a minute
        with (
            ControlTopic(place.kafka) as control,
            suppress(ConfigError),
            reported(ControlRecords(control, place.topic)),
        ):
            raise error
    except TransientError as away:  # the exit code is 78 all the same
        logger("speed").warning("refusal_not_reported", why=str(away))
