"""The entry point of a driver: where it begins, and its last word if it cannot even begin.

Does not import Spark, so that a machine without it leaves a last word, too.
"""

from truetape.broker.control_topic import ControlTopic
from truetape.host.errors import ConfigError
from truetape.host.settings import Settings
from truetape.speed.control_records import ControlRecords
from truetape.speed.protocol import reported


def run_driver(settings: Settings, command: int | None = None, after: int | None = None) -> None:
    """Run the driver of `job`. Raise ConfigError if this machine cannot import it."""
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
