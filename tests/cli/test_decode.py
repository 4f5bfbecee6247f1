"""`truetape decode`: every record of every line gives one output line, in order."""

import json
from io import BytesIO
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from support.build import at
from truetape.cli.decode import LineDecoder
from truetape.cli.main import truetape
from truetape.feeds.contract import load_contract
from truetape.feeds.decoder import Limits
from truetape.feeds.files import MAX_PAGE_BYTES
from truetape.market.resolution import MS_NS

LEAN_LINE = "34200123,1815200,283,P,20002020,0"


def run(arguments: str, text: bytes | str) -> Result:
    return CliRunner().invoke(truetape, ["decode", *arguments.split()], input=text)


def test_each_trade_and_each_rejection_gives_one_line_in_order() -> None:
    frame = '[993,[["1.50","2","1618678150.826417"],["x","2","1618678150.9"]],"trade","XMR/USD"]'

    result = run("--feed kraken", f"{frame}\nnot json\n")

    lines = [json.loads(text) for text in result.stdout.splitlines()]
    assert [(line["kind"], line.get("reason"), line.get("line")) for line in lines] == [
        ("trade", None, None),
        ("rejected", "bad-number", 1),
        ("rejected", "not-json", 2),
    ]
    assert lines[1]["index"] == 1
    assert result.stderr.strip() == "received 3 = accepted 1 + rejected 2 (in 2 payloads)"
    assert result.exit_code == 0


def test_no_time_may_lie_beyond_the_moment_when_its_line_is_read() -> None:
    """Standard input may be a live feed, so the bound moves on with the clock."""
    line = b'{"kind":"trade","symbol":"IBM","venue":"XNYS","event_time":"2026-11-20T14:31:10Z",'
    line += b'"price":"1","size":"1"}\n'
    event_ms = at("2026-11-20T14:31:10") // MS_NS
    clock = iter([(event_ms - 1_001) * MS_NS, (event_ms - 1_000) * MS_NS])
    decoder = LineDecoder(load_contract("truetape"), None, None, Limits(), lambda: next(clock))
    out = BytesIO()

    counts = decoder.run(BytesIO(line * 2), out)

    first, second = (json.loads(text) for text in out.getvalue().splitlines())
    assert (first["kind"], first["reason"]) == ("rejected", "future-event-time")
    assert second["kind"] == "trade"
    assert (counts.accepted, counts.rejected) == (1, 1)


def test_options_give_the_date_and_the_symbol_that_payloads_lack() -> None:
    result = run("--feed lean-equity-tick --date 2013-10-07 --symbol ibm", LEAN_LINE)

    trade = json.loads(result.stdout)
    assert (trade["symbol"], trade["event_time"]) == ("IBM", "2013-10-07T13:30:00.123Z")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ("--feed nobody", "there are alpaca, "),
        ("--feed lean-equity-tick --symbol IBM", "add --date"),
        ("--feed lean-equity-tick --date 2013-10-07", "add --symbol"),
    ],
    ids=["feed", "date", "symbol"],
)
def test_wrong_usage_exits_2_and_names_the_option_to_add(arguments: str, problem: str) -> None:
    result = run(arguments, LEAN_LINE)

    assert result.exit_code == 2
    assert problem in result.stderr


def test_every_kind_of_broken_line_gives_one_rejection() -> None:
    lines = [b"", b"\xff", b"x" * (MAX_PAGE_BYTES + 1), b"{}", b'"', b"\x00"]

    result = run("--feed truetape", b"\n".join(lines) + b"\n")

    reasons = [json.loads(line)["reason"] for line in result.stdout.splitlines()]
    assert reasons == ["empty", "not-utf8", "too-large", "not-a-trade", "not-json", "not-json"]


def test_a_header_names_the_columns_of_the_lines_after_it() -> None:
    lines = (
        "price,ticker,sip_timestamp,size,tape,exchange,id,sequence_number,conditions,correction\n"
        "25.5,ABC,1795185070218000000,10,1,4,7,1,,0\n"
        "no row\n"
    )

    result = run("--feed polygon-flat", lines)

    trade, rejected = (json.loads(line) for line in result.stdout.splitlines())
    assert (trade["symbol"], trade["price"], trade["size"]) == ("ABC", "25.5", "10")
    assert (rejected["reason"], rejected["line"]) == ("not-csv", 3)
    assert "(in 2 payloads)" in result.stderr


@pytest.mark.parametrize("feed", ["truetape", "polygon-flat"])
def test_decode_reads_what_bars_reads(tmp_path: Path, feed: str) -> None:
    """A byte order mark is no part of the first line, and a line may be as long as in a file."""
    trade = '{"kind":"trade","symbol":"ABC","venue":"XNYS","event_time":"2026-11-20T14:31:10Z",'
    texts = {
        "truetape": trade + f'"price":"1","size":"1","note":"{"x" * 2_000_000}"}}\n',
        "polygon-flat": "ticker,price,sip_timestamp,size,tape,exchange,id,sequence_number,"
        "conditions,correction\nABC,25.5,1795185070218000000,10,1,4,7,1,,0\n",
    }
    path = tmp_path / "day.txt"
    path.write_bytes(b"\xef\xbb\xbf" + texts[feed].encode())
    options = ["--feed", feed, "--profile", "all", "--resolution", "1m", "--strict"]

    decoded = run(f"--feed {feed}", path.read_bytes())
    folded = CliRunner().invoke(truetape, ["bars", str(path), *options])

    assert decoded.stderr.strip() == "received 1 = accepted 1 + rejected 0 (in 1 payload)"
    assert folded.exit_code == 0, folded.output
