"""What an archive run has counted, judged: offsets that the lake lacks make a task red."""

from collections.abc import Mapping
from typing import Any

from airflow.sdk.exceptions import AirflowFailException

from truetape.host.log import logger


def require_complete(counts: Mapping[str, Any]) -> None:
    """Fail when the lake lacks offsets that Kafka still has; name those that neither has.

    Nothing brings the latter back, so they do not keep a task red.
    """
    if counts["lost"]:
        logger("archive").warning("lost", offsets=counts["lost"])
    if counts["holes"]:
        raise AirflowFailException(f"the lake lacks {'; '.join(counts['holes'])}")
