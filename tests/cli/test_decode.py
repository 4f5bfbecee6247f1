"""`truetape decode`: every line gets its answers, in order, and the sum adds up."""

import json

import pytest
from click.testing import CliRunner, Result

from truetape.cli.main import truetape

LEAN_LINE = "34200123,1815200,283,P,20002020,0"


def run(arguments: str, text: bytes | str) -> Result:
    return CliRunner().invoke(truetape, ["decode", *arguments.split()], input=text)


def test_one_line_a_trade_and_one_a_rejection_in_order() -> None:
    frame = '[993,[["1.50","2","1618678150.826417"],["x","2","1618678150.9"]],"trade","XMR/USD"]'

    result = run("--feed kraken", f"{frame}\nnot json\n")

    told = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(one["kind"], one.get("reason"), one.get("line")) for one in told] == [
        ("trade", None, None),
        ("rejected", "bad-number", 1),
        ("rejected", "not-json", 2),
    ]
    assert told[1]["index"] == 1
    assert result.stderr.strip() == "received 3 = accepted 1 + rejected 2 (in 2 payloads)"
    assert result.exit_code == 0


def test_the_date_and_the_symbol_come_from_options() -> None:
    result = run("--feed lean-equity-tick --date 2013-10-07 --symbol ibm", LEAN_LINE)

    told = json.loads(result.stdout)
    assert (told["symbol"], told["event_time"]) == ("IBM", "2013-10-07T13:30:00.123Z")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ("--feed nobody", "there are alpaca, binance"),
        ("--feed lean-equity-tick --symbol IBM", "add --date"),
        ("--feed lean-equity-tick --date 2013-10-07", "add --symbol"),
    ],
    ids=["feed", "date", "symbol"],
)
def test_wrong_usage_exits_2_and_says_what_to_do(arguments: str, problem: str) -> None:
    result = run(arguments, LEAN_LINE)

    assert result.exit_code == 2
    assert problem in result.stderr


def test_every_kind_of_broken_line_gets_one_answer() -> None:
    lines = [b"", b"\xff", b"x" * 10_000_000, b"{}", b'"', b"\x00"]

    result = run("--feed truetape", b"\n".join(lines) + b"\n")

    reasons = [json.loads(line)["reason"] for line in result.stdout.splitlines()]
    assert reasons == ["empty", "not-utf8", "too-large", "not-a-trade", "not-json", "not-json"]
