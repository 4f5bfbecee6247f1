"""The form of a backfill: valid and invalid values, and the round trip."""

import json
from typing import Any

import jsonschema
import pytest

from truetape.batch.backfill_request import (
    FORM,
    BackfillRequest,
    ByOffsets,
    ByTime,
    Holes,
    request_of,
)
from truetape.host.errors import ConfigError
from truetape.market.ranges import Ranges

NOON, ONE = 1_795_176_000_000_000_000, 1_795_179_600_000_000_000
"""2026-11-20T12:00:00Z and an hour later."""
TIMES = {"by": "time", "from": "2026-11-20T12:00:00Z", "to": "2026-11-20T14:00:00+01:00"}


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({}, Holes()),
        ({"by": "holes", "from": None, "to": "", "offsets": None, "dry_run": True}, Holes()),
        (TIMES, ByTime(NOON, ONE)),
        ({"by": "offsets", "offsets": "1:5-9"}, ByOffsets({1: Ranges.between(5, 10)})),
    ],
    ids=["nothing but a reason", "all fields", "a window", "offsets"],
)
def test_a_form_becomes_a_request_and_back(values: dict[str, Any], what: object) -> None:
    request = request_of({"reason": "outage", "symbols": ["SPY", "IBM", "IBM"]} | values)

    assert request == BackfillRequest(what, "outage", ("IBM", "SPY"))
    assert request_of(json.loads(json.dumps(request.to_dict()))) == request


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"by": "everything"}, "choose holes, time, offsets"),
        ({"by": "time", "from": "2026-11-20T12:00:00Z"}, "needs 'to'"),
        (TIMES | {"to": "2026-11-20T12:00:00Z"}, "is not before"),
        (TIMES | {"from": "2026-11-20T12:00:00"}, "write it like"),
        (TIMES | {"offsets": "0:1-2"}, "'offsets' is of no use"),
        ({"by": "offsets"}, "needs 'offsets'"),
        ({"by": "offsets", "offsets": "1-2"}, "PARTITION:FIRST-LAST"),
        ({"by": "offsets", "offsets": 12}, "give a text"),
        ({"by": "holes", "from": "2026-11-20T12:00:00Z"}, "'from' is of no use"),
        ({"reason": " a "}, "give 3 to 500 printable characters"),
        ({"reason": None}, "give 3 to 500 printable characters"),
        ({"symbols": "IBM"}, "give a list"),
        ({"symbols": ["EV,IL=\nX"]}, "is not a symbol"),
        ({"symbol": ["IBM"]}, "no field symbol"),
    ],
)
def test_an_invalid_combination_of_fields_is_rejected(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        request_of({"reason": "outage"} | values)


def schema() -> dict[str, Any]:
    """Return the form as one JSON schema."""
    return {"type": "object", "properties": {name: dict(field) for name, field in FORM.items()}}


def test_each_default_fits_its_field() -> None:
    defaults = {name: field["default"] for name, field in FORM.items()}
    faults = jsonschema.Draft202012Validator(schema()).iter_errors(defaults)

    assert [*faults] == []
    assert defaults["dry_run"] is True


@pytest.mark.parametrize("values", [TIMES, {"by": "offsets", "offsets": "0:1-2, 3:5"}, {}])
def test_a_valid_request_fits_the_schema(values: dict[str, Any]) -> None:
    whole = {"reason": "outage"} | values
    request_of(whole)

    jsonschema.Draft202012Validator(schema()).validate(whole)


@pytest.mark.parametrize(
    "values",
    [{"by": "x"}, {"offsets": "1-2"}, {"symbols": "IBM"}, {"reason": "a"}, {"dry_run": "no"}],
)
def test_the_schema_rejects_invalid_single_fields(values: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema()).validate(values)
