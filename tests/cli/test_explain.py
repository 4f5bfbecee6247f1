"""`truetape explain`: one bar with its trades, its excluded trades and its history."""

import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from support.build import SECOND, cancel
from support.drifting import DAY, HOUR, printed, publish_and_record
from support.session_lake import FRIDAY, NOON, lake_session
from support.speed_reference import counted_trades, provisional_bars, serve
from truetape.cli.explain import explain
from truetape.host.errors import ConfigError, TruetapeError, VerificationError
from truetape.host.settings import Settings
from truetape.market.resolution import Resolution
from truetape.market.trades import Event
from truetape.serving.backends import open_store

Run = Callable[..., Result]
AGAIN = replace(DAY[0], received_ns=DAY[0].received_ns + 9 * SECOND)
ODDITIES = [
    printed(4, "90", conditions=("@", "M")),
    printed(5, "91", conditions=("?",)),
    printed(6, "92", conditions=("@", "I")),
]
EVENTS: list[Event] = [*DAY, AGAIN, *ODDITIES, cancel("404", NOON + HOUR, symbol="IBM")]
"""`DAY`, and in its first minute a repeat, an official close, an unknown code and an odd lot."""


@pytest.fixture
def settings(environment: dict[str, str]) -> Settings:
    """A lake and a store in which `EVENTS` were served, recomputed and published."""
    made = Settings.from_env(environment)
    lake_session(EVENTS).write(made.lake)
    with closing(open_store(made)) as store:
        serve(store, provisional_bars(counted_trades(EVENTS)))
        publish_and_record(made.lake, store)
    return made


@pytest.fixture
def run(environment: dict[str, str], settings: Settings) -> Run:
    assert settings.lake

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(explain, arguments, env=environment)

    return invoke


def parsed(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


def test_every_delivery_is_listed_with_the_fields_it_sets_or_why_it_is_excluded(
    run: Run,
) -> None:
    bar = parsed(run("IBM", "2024-11-22T17:00:00Z", "--format", "json"))

    assert {trade["id"]: (trade["sets"], trade["volume"]) for trade in bar["trades"]} == {
        "1": (["open", "high", "low", "close"], True),
        "6": ([], True),
    }
    assert {(trade["id"], trade["excluded"]) for trade in bar["excluded"]} == {
        ("1", "repeat delivery of trades/0@0.0"),
        ("2", "cancelled by trades/0@13.0"),
        ("4", "conditions @ M count for nothing"),
        ("5", "unknown condition among ?"),
    }
    assert (bar["by_trades"]["volume"], bar["served"]["volume"]) == ("20", 20.0)


def test_each_trade_has_its_kafka_coordinates(run: Run) -> None:
    bar = parsed(run("IBM", "2024-11-22T17:00:00Z", "--format", "json"))

    first = next(trade for trade in bar["trades"] if trade["id"] == "1")
    assert first["kafka"] == {"topic": "trades", "partition": 0, "offset": 0, "index": 0}
    assert first["event_ns"] == NOON + SECOND


def test_the_history_lists_the_changes_of_each_publication_and_their_cause(
    run: Run, settings: Settings
) -> None:
    """One cancel before the first publication, one after it."""
    lake_session([*EVENTS, cancel("6", NOON + 2 * HOUR, symbol="IBM")]).write(settings.lake)
    with closing(open_store(settings)) as store:
        publish_and_record(settings.lake, store, as_of_ns=NOON + 3 * HOUR)

    bar = parsed(run("IBM", "2024-11-22T17:00:00Z", "--format", "json"))

    assert [
        (
            publication["rev"],
            publication["who"],
            {
                change["field"]: [
                    (cause["cause"], cause["delta"], cause["trades"]) for cause in change["causes"]
                ]
                for change in publication["changes"]
            },
        )
        for publication in bar["history"]
    ] == [
        (1, "tests", {
            "volume": [("cancel", "-10", ["2"])], "trades": [("cancel", "-1", ["2"])],
        }),
        (2, "tests", {
            "volume": [("cancel", "-10", ["6"])], "trades": [("cancel", "-1", ["6"])],
        }),
    ]  # fmt: skip
    assert (bar["served"]["rev"], bar["served"]["final"]) == (2, True)


def test_a_wider_bar_lists_which_of_its_minutes_changed(run: Run) -> None:
    """The first publication made it final; its provisional values were those of its minutes."""
    bar = parsed(run("IBM", "2024-11-22T17:00:00Z", "--resolution", "5m", "--format", "json"))
    text = run("IBM", "2024-11-22T17:00:00Z", "--resolution", "5m").output

    [first] = bar["history"]
    assert first["changes"] == []
    assert [(minute["start_ns"] - NOON) // (60 * SECOND) for minute in first["minutes"]] == [
        0,
        1,
        2,
    ]
    assert "its minute 2024-11-22T17:00:00Z changed: cancel" in text
    assert "its minute 2024-11-22T17:01:00Z changed: late" in text
    assert "no value of this bar changed" not in text


def test_a_corrected_trade_shows_both_values(run: Run) -> None:
    bar = parsed(run("IBM", "2024-11-22T17:02:01Z", "--resolution", "1s", "--format", "json"))

    [trade] = bar["trades"]
    assert (trade["price"], trade["received_as"]["price"]) == ("102", "100")
    assert [(event["kind"], event["price"]) for event in trade["amendments"]] == [
        ("correct", "102")
    ]


def test_the_profile_contracts_and_table_versions_of_a_bar_are_listed(run: Run) -> None:
    bar = parsed(run("IBM", "2024-11-22T17:00:00Z", "--format", "json"))

    assert bar["profile"] == {"id": "sip", "version": 1}
    assert bar["contracts"] == {"truetape": [1]}
    # the ledger first notes that the session was served, then its drift
    assert bar["lake"] == {"raw": 0, "trades": 0, "bars": 0, "drift": 1, "publications": 0}
    assert [event["id"] for event in bar["pending"]] == ["404"]


def test_an_instant_selects_the_daily_bar_of_its_session(run: Run) -> None:
    bar = parsed(run("IBM", "2024-11-22T17:00:00Z", "--resolution", "1d", "--format", "json"))

    assert bar["start_ns"] == FRIDAY.open_ns
    assert bar["by_trades"]["trades"] == "6"


def test_the_text_output_has_the_same_facts(run: Run) -> None:
    output = run("IBM", "2024-11-22T17:00:00Z").output

    lines = output.splitlines()
    assert lines[0] == "IBM 1m 2024-11-22T17:00:00Z on XNYS"
    assert lines[1].startswith("served:    final, rev 1, by the batch layer: open 100.0 high 100.0")
    assert lines[2].startswith("by trades: equal, exactly: open 100 high 100 low 100 close 100")
    assert "volume 30 -> 20: cancel -10 (trades 2)" in output
    assert "trades: 2 of 6 deliveries count" in output
    assert "waits for its trade: cancelled 404 by" in output
    assert "repeat delivery of trades/0@0.0" in output


def test_a_final_bar_that_differs_from_its_trades_fails_verification(
    run: Run, settings: Settings
) -> None:
    with closing(open_store(settings)) as store:
        [bar] = store.read(Resolution.MINUTE, NOON, NOON + 1, symbols=["IBM"])
        store.write(Resolution.MINUTE, [replace(bar, high=103.0)])

    result = run("IBM", "2024-11-22T17:00:00Z")

    assert isinstance(result.exception, VerificationError)
    assert "by trades: DIFFERENT: open 100 high 100" in result.output


def test_a_bar_without_trades_and_an_unserved_symbol_are_errors(run: Run) -> None:
    result = run("IBM", "2024-11-22T19:00:00Z")
    nobody = run("NOPE", "2024-11-22T19:00:00Z")

    assert isinstance(result.exception, TruetapeError)
    assert "neither in the bar store nor from a trade" in str(result.exception)
    assert isinstance(nobody.exception, ConfigError)
    assert "NOPE has no bars; name the venue" in str(nobody.exception)
