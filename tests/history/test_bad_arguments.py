"""The public Python API with arguments that nobody means: ConfigError with the value, no other."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pandas
import pytest

import truetape
from support.absurd import ABSURD, QUARTERS, quarter_of
from support.published_home import DATE, make_published_home
from truetape.host.errors import ConfigError
from truetape.host.settings import Settings

ODD: tuple[Any, ...] = (
    *ABSURD, "\0", "\ud800", None, True, 1.5, float("nan"), float("inf"), b"IBM", 2**63, -(2**63),
    2**63 - 1, 10**30, [], [None], [[]], {}, object, pandas.NaT, pandas.Timestamp.max,
    pandas.Timestamp.min.tz_localize("UTC"), date.min, date.max, datetime.min.replace(tzinfo=UTC),
    datetime.max.replace(tzinfo=UTC), datetime(2024, 11, 22),  # noqa: DTZ001 - refused
)  # fmt: skip
READERS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "bars": (truetape.read_bars, {"symbols": "IBM", "start": DATE}),
    "bars as of": (
        truetape.read_bars,
        {"symbols": "IBM", "start": DATE, "venue": "XNYS", "as_of": f"{DATE}T20:00:00Z"},
    ),
    "bars by amount": (
        truetape.read_bars,
        {"symbols": "IBM", "start": DATE, "by": "trades=2"},
    ),
    "trades": (truetape.read_trades, {"symbols": "IBM", "start": DATE}),
}
ARGUMENTS = {
    "bars": ("symbols", "start", "end", "resolution", "venue", "index", "origin", "fill"),
    "bars as of": ("start", "end", "as_of"),
    "bars by amount": ("symbols", "start", "end", "venue", "by", "as_of", "resolution"),
    "trades": ("symbols", "start", "end", "venue"),
}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    home: Path = tmp_path_factory.mktemp("arguments")
    return make_published_home(home)


CASES = [(reader, argument) for reader, names in ARGUMENTS.items() for argument in names]


@pytest.mark.parametrize("quarter", QUARTERS)
@pytest.mark.parametrize(("reader", "argument"), CASES)
def test_an_argument_is_accepted_or_a_config_error(
    reader: str, argument: str, quarter: int, here: Settings
) -> None:
    read, arguments = READERS[reader]
    problems = []
    for value in quarter_of(ODD, quarter, CASES.index((reader, argument))):
        try:
            read(**{**arguments, argument: value}, settings=here)
        except ConfigError:
            continue
        except (TypeError, ValueError, KeyError, ArithmeticError, AttributeError) as error:
            problems.append(f"{value!r:.80}: {type(error).__name__}: {error}")
    assert "\n".join(problems) == ""


@pytest.mark.parametrize(
    ("argument", "value", "shown"),
    [
        ("symbols", "a\nb", r"'a\\nb'"),
        ("symbols", None, "None"),
        ("start", "0001-01-01", "0001-01-01"),
        ("start", date.max, "9999-12-31"),
        ("start", 2**63, str(2**63)),
        ("start", 1.5, "1.5"),
        ("end", datetime.max.replace(tzinfo=UTC), "253402300"),
        ("venue", "NOPE", "'NOPE'"),
        ("venue", 5, "5"),
    ],
)
@pytest.mark.parametrize("reader", ["bars", "trades"])
def test_the_message_names_the_bad_value(
    reader: str, argument: str, value: object, shown: str, here: Settings
) -> None:
    read, arguments = READERS[reader]

    with pytest.raises(ConfigError, match=shown):
        read(**{**arguments, argument: value}, settings=here)


@pytest.mark.parametrize(("argument", "value"), [("resolution", "7m"), ("index", "sessions")])
def test_a_word_that_is_no_choice_is_refused(argument: str, value: str, here: Settings) -> None:
    with pytest.raises(ConfigError, match=value):
        truetape.read_bars("IBM", DATE, settings=here, **{argument: value})  # type: ignore[arg-type]
