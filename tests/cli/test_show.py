"""`truetape show`: tables, CSV, JSON lines and charts of served bars."""

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from support.build import NOON, SECOND
from support.serving import MINUTE_NS, bar, bars
from truetape.cli.show import show
from truetape.host.errors import ConfigError, TruetapeError
from truetape.host.settings import Settings
from truetape.market.resolution import Resolution
from truetape.serving.backends import open_store
from truetape.serving.store import BarStore

MINUTE = Resolution.MINUTE
Run = Callable[..., Result]


@pytest.fixture
def store(environment: Mapping[str, str]) -> Iterator[BarStore]:
    store = open_store(Settings.from_env(environment))
    yield store
    store.close()


@pytest.fixture
def run(environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(show, arguments, env=environment)

    return invoke


def lines_of(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output
    return result.output.splitlines()


def test_the_most_recent_bars_are_shown(run: Run, store: BarStore) -> None:
    store.write(MINUTE, bars(30))

    rows = list(csv.DictReader(io.StringIO(run("IBM", "--format", "csv").output)))

    assert len(rows) == 20
    assert rows[0]["start"] == "2026-11-20T17:10:00Z"
    assert rows[-1]["start"] == "2026-11-20T17:29:00Z"


def test_csv_has_the_exact_floats(run: Run, store: BarStore) -> None:
    store.write(MINUTE, [bar(vwap=0.1 + 0.2, layer="speed", final=False, rev=0)])

    assert lines_of(run("IBM", "--format", "csv")) == [
        "symbol,venue,start,open,high,low,close,volume,vwap,trades,layer,final,rev,void",
        "IBM,XNYS,2026-11-20T17:00:00Z,100.0,101.5,99.25,100.5,1200.0,0.30000000000000004,17,"
        "speed,False,0,False",
    ]


def test_json_lines_are_one_object_a_bar(run: Run, store: BarStore) -> None:
    store.write(MINUTE, bars(2))

    first, second = map(json.loads, lines_of(run("IBM", "--format", "jsonl")))

    assert first == {
        "symbol": "IBM",
        "venue": "XNYS",
        "start": "2026-11-20T17:00:00Z",
        "open": 100.0,
        "high": 101.5,
        "low": 99.25,
        "close": 100.5,
        "volume": 1_200.0,
        "vwap": 100.12345678,
        "trades": 17,
        "layer": "batch",
        "final": True,
        "rev": 1,
        "void": False,
    }
    assert second["start"] == "2026-11-20T17:01:00Z"


def test_the_table_marks_bars_as_final_provisional_or_void(run: Run, store: BarStore) -> None:
    store.write(
        MINUTE,
        [
            bar(rev=3, volume=1_234_567.0),
            bar(start_ns=NOON + MINUTE_NS, layer="speed", final=False, rev=0),
            bar(start_ns=NOON + 2 * MINUTE_NS, void=True),
        ],
    )

    output = run("IBM").output

    head, final, provisional, void = (
        line for line in output.splitlines() if "│" in line or "┃" in line
    )
    for column in ("start", "open", "high", "low", "close", "volume", "vwap", "trades"):
        assert column in head
    assert "XNYS" not in output
    assert [cell.strip() for cell in final.split("│")[1:-1]] == [
        "2026-11-20 17:00:00",
        "100",
        "101.5",
        "99.25",
        "100.5",
        "1,234,567",
        "100.12345678",
        "17",
        "batch",
        "final",
        "3",
        "",
    ]
    assert "speed" in provisional
    assert "provisional" in provisional
    assert "void" in void


def test_a_symbol_is_never_markup(run: Run, store: BarStore) -> None:
    store.write(MINUTE, [bar(symbol="X[red]Y[/red]")])

    assert "X[red]Y[/red] 1m" in run("X[red]Y[/red]").output


def test_from_and_to_are_half_open_and_last_limits_each_venue(run: Run, store: BarStore) -> None:
    store.write(MINUTE, [*bars(10), *bars(10, venue="ARCX")])
    window = ("--from", "2026-11-20T17:02:00Z", "--to", "2026-11-20T17:06:00Z", "--format", "csv")

    def starts(*more: str) -> list[str]:
        rows = csv.DictReader(lines_of(run("IBM", *window, *more)))
        return [f"{row['venue']} {row['start'][14:16]}" for row in rows]

    assert starts("--venue", "XNYS") == ["XNYS 02", "XNYS 03", "XNYS 04", "XNYS 05"]
    assert starts("--last", "1") == ["ARCX 05", "XNYS 05"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--from", "2026-11-20"], ["IBM", "IBM"]),
        (["--from", "2026-11-21"], ["IBM"]),
        (["--from", "2026-11-20", "--to", "2026-11-21"], ["IBM"]),
        (["--to", "2026-11-21"], ["IBM"]),
        (["--to", "2026-11-21T05:00:00.000000001Z"], ["IBM", "IBM"]),
    ],
    ids=" ".join,
)
def test_days_are_those_of_the_bar_s_venue(
    run: Run, store: BarStore, words: list[str], expected: list[str]
) -> None:
    """The second bar is of the 21st in New York, which begins at 05:00 UTC."""
    midnight_ns = NOON + 12 * 3_600 * SECOND
    store.write(MINUTE, [bar(), bar(start_ns=midnight_ns)])

    lines = lines_of(run("IBM", "--format", "csv", *words))[1:]

    assert [line.split(",")[0] for line in lines] == expected


def test_a_symbol_is_found_in_another_case_if_only_one_is_alike(run: Run, store: BarStore) -> None:
    store.write(MINUTE, [bar(), bar(symbol="KO"), bar(symbol="Ko")])

    assert lines_of(run("ibm", "--format", "csv"))[1].startswith("IBM,")
    assert run("ko").exception is not None
    assert lines_of(run("Ko", "--format", "csv"))[1].startswith("Ko,")


def test_to_without_from_shows_the_last_bars_before_it(run: Run, store: BarStore) -> None:
    store.write(MINUTE, bars(10))

    rows = lines_of(run("IBM", "--to", "2026-11-20T17:05:00Z", "--last", "2", "--format", "csv"))

    assert [row.split(",")[2] for row in rows[1:]] == [
        "2026-11-20T17:03:00Z",
        "2026-11-20T17:04:00Z",
    ]


def test_other_widths_are_rolled_up_from_the_served_ones(run: Run, store: BarStore) -> None:
    store.write(MINUTE, [*bars(3, volume=10.0, vwap=100.0), bar(start_ns=NOON + 3 * MINUTE_NS,
        close=90.0, layer="speed", final=False, rev=0, volume=30.0, vwap=104.0)])  # fmt: skip

    header, first, second = lines_of(run("IBM", "--resolution", "180s", "--format", "csv"))

    assert header.startswith("symbol,venue,start,open")
    assert first == (
        "IBM,XNYS,2026-11-20T17:00:00Z,100.0,101.5,99.25,100.5,30.0,100.0,51,batch,True,1,False"
    )
    assert second.startswith("IBM,XNYS,2026-11-20T17:03:00Z,100.0,101.5,99.25,90.0,30.0,104.0,17,")
    assert second.endswith("speed,False,0,False")


def test_hours_can_be_counted_from_the_open_and_filled(run: Run, store: BarStore) -> None:
    store.write(Resolution.FIVE_MINUTES, [bar(), bar(start_ns=NOON + 125 * MINUTE_NS)])
    options = ("--resolution", "1h", "--origin", "open", "--fill", "previous")

    rows = list(csv.DictReader(lines_of(run("IBM", *options, "--format", "csv"))))

    assert [(row["start"][11:16], row["layer"]) for row in rows] == [
        ("16:30", "batch"), ("17:30", "fill"), ("18:30", "batch"), ("19:30", "fill"),
        ("20:30", "fill"),
    ]  # fmt: skip
    assert rows[1]["open"] == rows[0]["close"]
    window = ("--from", "2026-11-20T17:00:00Z", "--to", "2026-11-20T19:00:00Z")
    assert len(lines_of(run("IBM", *options, *window, "--format", "csv"))) == 2


def test_a_width_that_does_not_divide_a_day_is_refused(run: Run, store: BarStore) -> None:
    result = run("IBM", "--resolution", "7m")

    assert result.exit_code == 2
    assert "7m does not divide a day; 6m and 8m do" in result.output


def test_the_chart_has_the_width_in_its_name(run: Run, store: BarStore, tmp_path: Path) -> None:
    store.write(Resolution.FIVE_MINUTES, [bar()])

    assert lines_of(run("IBM", "--resolution", "30m", "--plot")) == ["1 bar in IBM-30m.html"]


def test_without_bars_the_error_lists_the_bars_there_are(run: Run, store: BarStore) -> None:
    store.write(Resolution.HOUR, [bar()])

    result = run("IBM", "--venue", "ARCX")

    assert isinstance(result.exception, TruetapeError)
    assert str(result.exception) == (
        "no 1m bars of IBM on ARCX yet; there are 1h on XNYS up to 2026-11-20T17:00:00Z"
    )


def test_without_bars_of_another_width_the_error_says_what_it_is_made_of(
    run: Run, store: BarStore
) -> None:
    store.write(MINUTE, [bar()])

    assert str(run("IBM", "--resolution", "30m").exception) == (
        "no 30m bars of IBM in that window, which are rolled up from 5m; "
        "there are 1m on XNYS up to 2026-11-20T17:00:00Z"
    )


def test_the_error_for_an_unknown_symbol_names_the_other_buckets(run: Run, store: BarStore) -> None:
    result = run("IBN")

    assert "no bars of IBN on any venue in the history buckets" in str(result.exception)
    assert "TRUETAPE_BUCKET_SET=live" in str(result.exception)


def test_the_error_for_a_missing_token_names_the_next_step(tmp_path: Path) -> None:
    environment = {"TRUETAPE_HOME": str(tmp_path), "TRUETAPE_STORE": "influx"}

    result = CliRunner().invoke(show, ["IBM"], env=environment)

    assert isinstance(result.exception, ConfigError)
    assert "truetape stack up" in str(result.exception)
    assert "TRUETAPE_STORE=embedded" in str(result.exception)


def test_a_chart_works_offline_and_marks_provisional_and_final_bars(
    run: Run, store: BarStore, tmp_path: Path
) -> None:
    store.write(
        MINUTE,
        [
            *bars(3),
            bar(start_ns=NOON + 900 * MINUTE_NS, layer="speed", final=False, rev=0),
            bar(start_ns=NOON + 901 * MINUTE_NS, void=True),
        ],
    )

    assert lines_of(run("IBM", "--plot", "deep/ibm.html")) == ["5 bars in deep/ibm.html"]

    page = (tmp_path / "deep" / "ibm.html").read_text(encoding="utf-8")
    assert "<script src=" not in page
    assert "Plotly.newPlot" in page
    figure = page[page.rindex("Plotly.newPlot(") :]
    assert '"name":"final"' in figure
    assert '"name":"provisional"' in figure
    assert '"type":"category"' in figure
    assert '"2026-11-21T08:00:00Z"' in figure
    assert '"2026-11-21T08:01:00Z"' not in figure


def test_a_symbol_cannot_inject_script_into_the_page(
    run: Run, store: BarStore, tmp_path: Path
) -> None:
    symbol = "</script><script>alert(1)</script>"
    store.write(MINUTE, [bar(symbol=symbol)])

    run(symbol, "--plot", "evil.html")

    assert "<script>alert" not in (tmp_path / "evil.html").read_text(encoding="utf-8")


def test_a_chart_without_a_file_name_is_named_after_symbol_and_resolution(
    run: Run, store: BarStore, tmp_path: Path
) -> None:
    store.write(MINUTE, bars(2, symbol="BTC/USD", venue="KRAKEN"))

    assert lines_of(run("BTC/USD", "--plot")) == ["2 bars in BTC_USD-1m.html"]
    assert (tmp_path / "BTC_USD-1m.html").exists()


def test_a_chart_needs_one_venue_and_an_html_file(run: Run, store: BarStore) -> None:
    store.write(MINUTE, [bar(), bar(venue="ARCX")])

    several = run("IBM", "--plot")
    picture = run("IBM", "--venue", "XNYS", "--plot", "ibm.png")

    assert several.exit_code == picture.exit_code == 2
    assert "IBM has bars on ARCX, XNYS; choose one with --venue" in several.output
    assert "bars.html" in picture.output
