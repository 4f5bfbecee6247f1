"""The layout of JSON payloads in a contract: where the records are, and what they are.

Reads no payload: the decoders do.
"""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from truetape.feeds.fields import EACH, steps_to_lists
from truetape.host.declared_yaml import WORD, Declared, Flag, Text, problem


class Container(StrEnum):
    """The JSON containers: fields by name, or values by position."""

    OBJECT = "object"
    ARRAY = "array"


class Records(StrEnum):
    """How a payload holds records: it is one, it lists them, or it lists them by symbol."""

    ONE = "one"
    EACH = "each"
    BY_NAME = "by-name"


_Steps = Annotated[
    tuple[str, ...],
    BeforeValidator(lambda value: steps_to_lists(value) if isinstance(value, str) else value),
]


class JsonPayload(Declared):
    """Where the records are inside a JSON payload.

    `at` leads to them, through each item of a list where it says so; with `at_optional` a payload
    without it is itself the place. `skip` are the names that `Records.BY_NAME` passes over; with
    `name_at`, a list in place of the lists by name has the name at this path of the payload.
    """

    container: Annotated[Container, WORD]
    declared_record: Annotated[Container, WORD] | None = Field(default=None, alias="record")
    records: Annotated[Records, WORD] = Records.ONE
    at: _Steps = ()
    at_optional: Flag = False
    skip: tuple[Text, ...] = ()
    name_at: _Steps = ()

    @property
    def record(self) -> Container:
        """Return what one record is."""
        whole = self.container if self._is_record else Container.OBJECT
        return self.declared_record or whole

    @property
    def _is_record(self) -> bool:
        return not self.at and self.records is Records.ONE

    @model_validator(mode="after")
    def _check_meaning(self) -> Self:
        if self.skip and self.records is not Records.BY_NAME:
            raise problem(f"has a meaning only with records: {Records.BY_NAME}", "skip")
        if self.name_at and (self.records is not Records.BY_NAME or EACH in self.name_at):
            reason = f"has a meaning only with records: {Records.BY_NAME}, and leads to one value"
            raise problem(reason, "name_at")
        if EACH in self.at and self.records is not Records.EACH:
            raise problem(f"has a list on the way, which needs records: {Records.EACH}", "at")
        if self.at and self.at[-1] == EACH:
            raise problem("ends in a list; records: each already says that", "at")
        if self.at_optional and (not self.at or self.records is not Records.ONE):
            reason = f"has a meaning only with 'at' and records: {Records.ONE}"
            raise problem(reason, "at_optional")
        if self._is_record and self.declared_record:
            raise problem("is the payload itself here; 'container' says what that is", "record")
        return self
