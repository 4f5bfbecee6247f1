"""Records as JSON on a topic: any frozen dataclass there and back. Knows no dataclass itself."""

from functools import cache
from typing import Any, TypeVar, cast

from pydantic import Field, TypeAdapter, ValidationError

from truetape.host.errors import ConfigError

AnyRecord = TypeVar("AnyRecord")


def wire_name(name: str) -> Any:
    """Annotate a field that has another name in the JSON, which older and newer versions read."""
    return Field(alias=name)


def encode(record: object) -> bytes:
    """Return a dataclass as JSON, nested ones included."""
    return _adapter(cast(Any, type(record))).dump_json(record, by_alias=True)


def decode(kind: type[AnyRecord], value: bytes) -> AnyRecord:
    """Read what `encode` wrote. Raise ConfigError if this version cannot read the record."""
    try:
        record: AnyRecord = _adapter(cast(Any, kind)).validate_json(value)
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, item["loc"])) or "JSON" for item in error.errors())
        raise ConfigError(
            f"another version of truetape wrote this {kind.__name__} to Kafka (wrong: {fields}); "
            'see "A record of another version" in docs/RUNBOOK.md'
        ) from None
    return record


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
