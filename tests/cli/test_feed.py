"""The verb `feed`: contracts are listed, shown and checked; a new one begins with a review."""

import gzip
import json
import re
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from support.build import READ_MS
from truetape.cli.bars import bars
from truetape.cli.decode import decode as decode_lines
from truetape.cli.feed import feed
from truetape.feeds.contract import contract_file, contract_names, read_contract
from truetape.feeds.decoder import Context, Limits, decode
from truetape.feeds.simulator.faults import NO_FAULTS
from truetape.feeds.simulator.formats import FORMATS
from truetape.feeds.simulator.session import SimulationPlan, simulate
from truetape.feeds.skeleton import NO_VENUE, skeleton
from truetape.host.errors import ConfigError
from truetape.market.trades import Trade

Run = Callable[..., Result]
TODAY = date(2026, 11, 1)
POSITIONS = ("bitfinex", "kraken")
"""Feeds whose records are lists: without names the guess goes by the order of numbers alone."""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(feed, arguments)


def reviewed(text: str, venue: str = "KRAKEN") -> str:
    """Return a skeleton as somebody would leave it who accepts every guess."""
    return re.sub(r"(?m)^# ?(?!#)", "", text).replace(NO_VENUE, venue)


def test_every_feed_is_listed_with_what_it_is(run: Run) -> None:
    printed = run("list").output

    assert all(f" {name} " in printed for name in contract_names())
    assert "Kraken trades, websocket v2." in printed


def test_a_contract_is_shown_as_it_is_written(run: Run) -> None:
    assert run("show", "kraken").output == contract_file("kraken").read_text("utf-8")
    assert isinstance(run("show", "nobody").exception, ConfigError)


@pytest.mark.parametrize("name", contract_names())
def test_each_shipped_contract_passes_its_own_check(run: Run, name: str) -> None:
    found = run("check", name)

    assert found.exit_code == 0, found.output
    assert " 0 wrong" in found.output


def test_a_sample_that_gives_other_lines_is_shown_with_both(run: Run) -> None:
    text = contract_file("kraken").read_text("utf-8")
    Path("kraken.yaml").write_text(text.replace('"size":"0.50000000"', '"size":"0.5"'))

    found = run("check", "./kraken.yaml")

    assert found.exit_code == 65
    assert "sample 1: WRONG" in found.output
    assert '"size":"0.5"' in found.output
    assert '"size":"0.50000000"' in found.output


def test_a_file_that_is_no_contract_is_named_with_its_line(run: Run) -> None:
    Path("acme.yaml").write_text("feed: acme\nversion: one\nsource: ours\n")

    found = run("check", "acme.yaml").exception

    assert isinstance(found, ConfigError)
    assert "acme.yaml, line " in str(found)


def test_the_list_names_broken_files_and_shows_the_others(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own" / "feeds"
    own.mkdir(parents=True)
    (own / "acme.yaml").write_text("feed: acme\nversion: one\nsource: ours\n")
    (own / "torn.yaml").write_text("feed: [\n")
    monkeypatch.setenv("TRUETAPE_SCHEMAS", str(own.parent))

    found = run("list")

    assert found.exit_code == 65
    assert "kraken-v2" in found.stdout
    assert [line.split(":")[0] for line in found.stderr.splitlines()] == ["acme", "torn"]
    assert "acme.yaml, line " in found.stderr
    assert run("check", "kraken").exit_code == 0


def test_a_new_contract_is_not_in_force_before_it_was_reviewed(run: Run) -> None:
    Path("acme.jsonl").write_text('{"s":"A","p":"1","q":"2","t":1795185070218,"id":7}\n')

    assert run("new", "acme", "acme.jsonl").exit_code == 0
    assert isinstance(run("check", "acme.yaml").exception, ConfigError)
    assert isinstance(run("new", "acme", "acme.jsonl").exception, ConfigError)  # it exists

    everything = Path("acme.yaml").read_text()
    Path("acme.yaml").write_text(re.sub(r"(?m)^# ?(?!#)", "", everything))
    assert NO_VENUE in str(run("check", "acme.yaml").exception)


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in POSITIONS])
def test_the_guess_from_a_vendor_s_payloads_reads_them_as_the_vendor_means(
    tmp_path: Path, name: str
) -> None:
    plan = SimulationPlan(date(2026, 11, 20), feed=name, trades=300, faults=NO_FAULTS)
    made = simulate(plan)
    sample = "\n".join(record.payload.decode() for record in made.records)
    file = tmp_path / "acme.yaml"
    file.write_text(reviewed(skeleton("acme", sample, name, TODAY)))
    contract = read_contract(file)

    events = [
        event
        for record in made.records
        for event in decode(
            record.payload,
            contract,
            Context("acme", record.key, None, record.received_ns, "t", 0, 0, READ_MS),
            Limits(),
        )
    ]

    assert [_values(event) for event in events] == [_values(event) for event in made.truth.events]


def _values(event: object) -> object:
    if not isinstance(event, Trade):
        return event
    return event.symbol, event.event_ns, event.price, event.size


@pytest.mark.parametrize("sample", ["", "\n \n", "hello\nworld", "[]", '{"type":"ping"}'])
def test_a_sample_without_records_is_refused_or_says_what_it_lacks(sample: str) -> None:
    try:
        text = skeleton("acme", sample, "acme.jsonl", TODAY)
    except ConfigError as error:
        assert "acme.jsonl: has no records" in str(error)  # noqa: PT017 - either is right
    else:
        assert "no field looks like one" in text


def test_rows_of_csv_are_guessed_with_their_header_and_delimiter() -> None:
    names = "ticker;price;qty;timestamp;trade_id"
    sample = f"{names}\nABC;25.5;3;1795185070218;1\nABC;25.6;4;1795185070219;2\n"
    text = skeleton("acme", sample, "acme.csv", TODAY)

    assert "csv: {columns: [ticker, price, qty, timestamp, trade_id], delimiter: ';'" in text
    assert "symbol: ticker" in text
    assert "shape: epoch-ms" in text


@pytest.mark.parametrize(
    ("sample", "field"),
    [
        ("Date,Time,Price,Size\n2026-11-20,9:30:00.5,25.5,7\n", "date: Date"),
        ("Trading_Day,Clock,Price,Size\n20261120,09:30:00,25.5,7\n", "date: Trading_Day"),
        ("D,T,Price,Size\n11/21/2026,09:30:00,25.5,7\n", "{path: D, pattern: '%m/%d/%Y'}"),
        ("D,T,Price,Size\n21.11.2026,09:30:00,25.5,7\n", "{path: D, pattern: '%d.%m.%Y'}"),
        ("20261120;09:30:00;25.5;7\n", "date: date"),
        ("11/21/2026|09:30:00|25.5|7.5\n", "{path: date, pattern: '%m/%d/%Y'}"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_date_and_a_time_in_two_columns_are_one_time(sample: str, field: str) -> None:
    text = skeleton("acme", sample, "acme.csv", TODAY)

    [line] = [line for line in text.splitlines() if "event_time:" in line]
    assert "shape: clock" in line
    assert field in line


def test_a_date_that_may_be_read_in_two_ways_is_asked_about() -> None:
    sample = "Date,Time,Price,Size\n11/10/2026,09:30:00,25.5,7\n"

    assert "or is the date %m/%d/%Y? " in skeleton("acme", sample, "acme.csv", TODAY)


@pytest.mark.parametrize(
    ("price", "hint"),
    [
        ("25,50", "a decimal comma"),
        ("1.025,50", "a decimal comma"),
        ("1'025.50", "thousands separators"),
        ("1 025", "thousands separators"),
    ],
)
def test_a_number_that_no_contract_reads_gets_a_hint(price: str, hint: str) -> None:
    sample = f"time;px;qty\n1795185070218;{price};7\n"

    text = skeleton("acme", sample, "acme.csv", TODAY)

    assert "price: UNKNOWN" in text
    assert f"## unused: px: {json.dumps(price)[1:-1]!r}" in text
    assert f"; has {hint}" in text


@pytest.mark.parametrize(
    "payload",
    [
        '{"type":"trade","data":{"s":"A","p":"1.5","q":"2","t":1795185070218,"id":7}}',
        '{"type":"trade","ch":"A","data":[{"s":"A","p":"1.5","q":"2","t":1795185070218,"id":7}]}',
        '{"type":"trade","m":{"data":{"s":"A","p":"1.5","q":"2","t":1795185070218,"id":7}}}',
        "[17,[401597393,1795185070218,0.25,68120.5]]",
    ],
)
def test_the_fields_of_a_record_are_listed_once(payload: str) -> None:
    text = skeleton("acme", payload, "acme.jsonl", TODAY)

    guesses = text[: text.index("# samples:")]
    assert not re.search(r"\$\.(m\.)?(data|1)\b", guesses)
    assert guesses.count("1795185070218") == 1


def test_data_are_decoded_and_each_outcome_is_counted_with_its_place(run: Run) -> None:
    lines = [
        '{"channel":"trade","data":[{"symbol":"A/USD","price":2,"qty":1,"trade_id":1,'
        '"timestamp":"2025-11-20T14:31:08Z"}]}',
        '{"channel":"trade","data":[{"symbol":"A/USD","price":-2,"qty":1,"trade_id":2,'
        '"timestamp":"2025-11-20T14:31:09Z"}]}',
    ]
    Path("a.jsonl").write_text("\n".join(lines))

    found = run("check", "kraken-v2", "--data", "a.jsonl")

    assert found.exit_code == 0
    assert "2 records received = 1 accepted + 1 rejected" in found.output
    assert "a.jsonl:2: price is -2; it must be positive" in found.output
    assert "fast lane: 50.0% of 2 payloads" in found.output
    Path("b.jsonl").write_text(lines[1])
    assert run("check", "kraken-v2", "--data", "b.jsonl").exit_code == 65


def test_a_sample_may_be_packed_and_an_unreadable_one_is_named(run: Run) -> None:
    line = b'{"s":"A","p":"1","q":"2","t":1795185070218,"id":7}\n'
    Path("a.jsonl.gz").write_bytes(gzip.compress(line))
    Path("b.csv").write_bytes(b"PAR1")

    assert run("new", "acme", "a.jsonl.gz").exit_code == 0
    assert "shape: epoch-ms" in Path("acme.yaml").read_text()
    assert isinstance(run("new", "other", "b.csv").exception, ConfigError)


@pytest.mark.parametrize("name", ["", "A", "a/b", "../a", "a.yaml", "ä", "a" * 33])
def test_a_name_that_no_feed_can_have_is_refused(run: Run, name: str) -> None:
    Path("a.jsonl").write_text("{}")

    assert isinstance(run("new", name, "a.jsonl").exception, ConfigError)


def test_a_contract_s_file_is_used_in_place_of_a_feed(tmp_path: Path) -> None:
    file = tmp_path / "own-kraken.yaml"
    text = contract_file("kraken-v2").read_text("utf-8")
    file.write_text(text.replace("feed: kraken-v2", "feed: own-kraken"))
    data = tmp_path / "a.jsonl"
    data.write_text(
        '{"channel":"trade","data":[{"symbol":"A/USD","price":2,"qty":1,"trade_id":1,'
        '"timestamp":"2025-11-20T14:31:08Z"}]}\n'
    )
    words = ["--feed", str(file), "--profile", "all", "--resolution", "1m"]

    for engine in ("kernel", "reference"):
        made = CliRunner().invoke(bars, [str(data), *words, "--engine", engine])
        assert "A/USD,KRAKEN,1m,2025-11-20T14:31:00Z,2,2,2,2,1,2,1" in made.output
    decoded = CliRunner().invoke(decode_lines, ["--feed", str(file)], input=data.read_text())
    assert '"symbol":"A/USD"' in decoded.output
