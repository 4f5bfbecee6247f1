"""Records as JSON on a topic: any frozen dataclass there and back. Knows none of them."""

from functools import cache
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from truetape.host.errors import ConfigError

Record = TypeVar("Record")


def encode(record: object) -> bytes:
    """Return a dataclass as JSON, nested ones included."""
    return _adapter(cast(Any, type(record))).dump_json(record)


def decode(kind: type[Record], value: bytes) -> Record:
    """Read what `encode` wrote; ConfigError for a record that this version cannot read."""
    try:
        record: Record = _adapter(cast(Any, kind)).validate_json(value)
    except ValidationError as error:
        wrong = ", ".join(".".join(map(str, one["loc"])) or "JSON" for one in error.errors())
        raise ConfigError(
            f"a {kind.__name__} on Kafka was written by another version of truetape (wrong: "
            f'{wrong}); see "A record of another version" in docs/RUNBOOK.md'
        ) from None
    return record


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
