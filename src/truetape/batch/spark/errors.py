"""What Spark raises, as an error of truetape in one line. The log (`--verbose`) has all of it.

Every job of the batch layer runs inside `spark_errors`. Java's exceptions reach Python as texts
with the causes among stack traces; no other module reads them.
"""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from truetape.host import errors
from truetape.host.errors import ConfigError, TruetapeError
from truetape.host.log import logger
from truetape.host.settings import Settings
from truetape.host.storage import fullest, storage_error
from truetape.lake.damage import is_local

_OWN = re.compile(r"truetape\.host\.errors\.(\w+): (.+)")
_DATA_LOSS = re.compile(r"Some data may have been lost|KAFKA_DATA_LOSS")
_MEMORY = re.compile(r"OutOfMemoryError|Answer from Java side is empty")
_NOISE = re.compile(r"^(\s*at |\s*\.\.\. \d+ more|\s*$|JVM stacktrace|== )")
_NAME = re.compile(r"^(?:Caused by: )?(?:[\w$]+\.)+([\w$]+): ")
_MAX_LINE = 400


@contextmanager
def spark_errors(settings: Settings) -> Iterator[None]:
    """Raise what Spark raises in the block as an error of truetape; see `spark_error`."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        yield
    except (Py4JError, PySparkException) as error:
        text = _full_text(error)
        logger("spark").info("failed", error=text)
        raise spark_error(text, settings) from error


def spark_error(text: str, settings: Settings) -> TruetapeError:
    """Return the error for the text of a failure in Spark, stack traces included."""
    return (
        _own_error(text)
        or storage_error(text, str(fullest(_places(settings))))
        or _known_error(text)
        or TruetapeError(
            f"Spark failed: {_cause(text)}; `truetape --verbose` with this command shows all"
        )
    )


def _known_error(text: str) -> TruetapeError | None:
    if _DATA_LOSS.search(text):
        return ConfigError(
            f"Kafka no longer has the records that come next: {_cause(text, _DATA_LOSS)}; see "
            '"Records left Kafka before they were read" in docs/RUNBOOK.md'
        )
    if _MEMORY.search(text):
        return TruetapeError(
            f"Spark's process ended or had too little memory: {_cause(text, _MEMORY)}; raise "
            "TRUETAPE_SPARK_DRIVER_MEMORY, then run this again"
        )
    return None


def _own_error(text: str) -> TruetapeError | None:
    """Return the error that a Python function raised inside Spark, which passes on its text."""
    for name, message in reversed(_OWN.findall(text)):
        kind = getattr(errors, name, None)
        if isinstance(kind, type) and issubclass(kind, TruetapeError):
            return kind(message.strip())
    return None


def _places(settings: Settings) -> list[Path]:
    """Return the folders of this machine that a job writes to."""
    lake = [Path(settings.lake)] if is_local(settings.lake) else []
    return [*lake, settings.home, Path(tempfile.gettempdir())]


def _cause(text: str, wanted: re.Pattern[str] | None = None) -> str:
    """Return the line that says most: the last that has the wanted words, else the innermost cause,
    else the first line.
    """
    lines = [line.strip() for line in text.splitlines() if not _NOISE.match(line)]
    matching = [line for line in lines if wanted is not None and wanted.search(line)]
    causes = [line for line in lines if line.startswith("Caused by: ")]
    line = next(iter([*matching[-1:], *causes[-1:], *lines[:1]]), "no reason given")
    return _NAME.sub(r"\1: ", line)[:_MAX_LINE].rstrip(" .;")


def _full_text(error: BaseException) -> str:
    """Return the message with the stack trace of Java, which has the causes."""
    trace = getattr(error, "_stackTrace", "") or ""
    message = str(error)
    return message if trace in message else f"{message}\n{trace}"
