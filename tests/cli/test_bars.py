"""`truetape bars`: bars from files without a server; both engines print the same bytes."""

import subprocess
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from support.data import real_data
from truetape.cli.main import truetape

NATIVE = """\
{"kind":"trade","symbol":"IBM","venue":"XNYS","id":"1","event_time":"2026-11-20T14:30:00Z","price":"100.00","size":"100","conditions":["O"]}
{"kind":"trade","symbol":"IBM","venue":"XNYS","id":"2","event_time":"2026-11-20T14:30:00.5Z","price":"101","size":"50"}
{"kind":"trade","symbol":"IBM","venue":"XNYS","id":"3","event_time":"2026-11-20T14:30:59.999999999Z","price":"99.5","size":"10"}
{"kind":"trade","symbol":"IBM","venue":"XNYS","id":"2","event_time":"2026-11-20T14:30:00.5Z","price":"101","size":"50"}
{"kind":"trade","symbol":"IBM","venue":"XNYS","id":"4","event_time":"2026-11-20T21:00:41Z","price":"102","size":"1000","conditions":["6"]}
{"kind":"trade","symbol":"IBM","venue":"XNYS","id":"5","event_time":"2026-11-20T21:05:00Z","price":"103","size":"7","conditions":["T"]}
{"kind":"cancel","symbol":"IBM","venue":"XNYS","id":"3","received_time":"2026-11-20T22:00:00Z"}
not json
"""
HEADER = "symbol,venue,resolution,start,open,high,low,close,volume,vwap,trades"


@pytest.fixture
def day(tmp_path: Path) -> Path:
    path = tmp_path / "day.jsonl"
    path.write_text(NATIVE)
    return path


def test_duplicates_and_cancels_are_applied(day: Path) -> None:
    outcome = bars(day, "--resolution", "1m", "--profile", "sip")

    assert outcome.stdout.splitlines()[:2] == [
        HEADER,
        "IBM,XNYS,1m,2026-11-20T14:30:00Z,100,101,100,101,150,100.333333333333333333,2",
    ]
    assert "8 records received = 7 accepted + 1 rejected" in outcome.stderr


def test_the_daily_bar_includes_the_closing_auction_but_no_extended_hours(day: Path) -> None:
    outcome = bars(day, "--resolution", "1d", "--profile", "sip")

    expected = "IBM,XNYS,1d,2026-11-20T14:30:00Z,100,102,100,102,1150,101.782608695652173913,3"
    assert outcome.stdout.splitlines() == [HEADER, expected]


def test_a_trade_still_counts_as_of_a_time_before_its_cancel(day: Path) -> None:
    options = ("--resolution", "1m", "--profile", "sip", "--as-of", "2026-11-20T21:59:59.9Z")

    outcome = bars(day, *options)

    assert outcome.stdout.splitlines()[1].endswith("100,101,99.5,99.5,160,100.28125,3")


FUTURE = """\
{"kind":"trade","symbol":"IBM","venue":"XNYS","event_time":"2098-01-02T15:00:00Z","price":"1","size":"1"}
{"kind":"trade","symbol":"IBM","venue":"XNYS","event_time":"2026-11-20T15:00:00Z","received_time":"2098-01-02T15:00:00Z","price":"1","size":"1"}
"""


@pytest.mark.parametrize("engine", ["kernel", "reference"])
def test_times_beyond_the_time_of_reading_are_rejected(tmp_path: Path, engine: str) -> None:
    path = tmp_path / "future.jsonl"
    path.write_text(FUTURE)

    options = ("--resolution", "1m", "--profile", "all", "--engine", engine)
    outcome = bars(path, *options, code=65)

    assert outcome.stdout.splitlines() == [HEADER]
    assert bars(path, *options, code=65).stderr == outcome.stderr  # whatever the clock says
    assert "event time 2098-01-02T15:00:00Z is later than the arrival of the record" in (
        outcome.stderr
    )
    report = outcome.stderr.splitlines()
    assert report[0] == "1 file: 2 records received = 0 accepted + 2 rejected; 0 bars"
    assert [line for line in report if "rejected future" in line] == [
        "  rejected future-event-time: 1",
        "  rejected future-receipt-time: 1",
    ]


MIXED = """\
{"kind":"trade","symbol":"IBM","venue":"XNYS","id":"1","event_time":"2026-11-20T14:30:00Z","price":"1","size":"1","conditions":["@","zz"]}
{"kind":"trade","symbol":"IBM","venue":"XNYS","id":"2","event_time":"2026-11-20T14:30:01Z","price":"1","size":"1","conditions":["zz","yy"]}
{"kind":"trade","symbol":"IBM","venue":"XNYS","id":"2","event_time":"2026-11-20T14:30:01Z","price":"1","size":"1","conditions":["zz","yy"]}
{"kind":"trade","symbol":"IBM","venue":"XNYS","id":"3","event_time":"2026-11-20T14:30:02Z","price":"2","size":"5"}
{"kind":"cancel","symbol":"IBM","venue":"XNYS","id":"1","received_time":"2026-11-20T22:00:00Z"}
{"kind":"correct","symbol":"IBM","venue":"XNYS","id":"9","price":"1","size":"1","received_time":"2026-11-20T22:00:00Z"}
{"kind":"trade","symbol":"IBM"}
1
2
3

{}
"""


@pytest.mark.parametrize("engine", ["kernel", "reference"])
def test_the_report_says_what_became_of_every_record(tmp_path: Path, engine: str) -> None:
    path = tmp_path / "mixed.jsonl"
    path.write_text(MIXED)
    options = ("--resolution", "1m", "--profile", "sip", "--engine", engine)

    outcome = bars(path, *options)

    assert outcome.stderr.splitlines() == [
        "1 file: 12 records received = 6 accepted + 6 rejected; 1 bar",
        "  4 trades, 1 repeat among them; 2 cancels and corrections: 1 applied, 1 without a trade",
        "  rejected empty: 1",
        f"    {path}:11: the payload is blank",
        "  rejected missing-field: 1",
        f"    {path}:7: no event time",
        "  rejected not-a-trade: 4",
        f"    {path}:8: the payload is not an object",
        f"    {path}:9: the payload is not an object",
        f"    {path}:10: the payload is not an object",
        "    and 1 more",
        "  unknown condition zz: 3 trades, which count for nothing",
        "  unknown condition yy: 2 trades, which count for nothing",
    ]
    assert bars(path, *options, "--strict", code=65).stdout == outcome.stdout


RENAMED = """\
{"kind":"trade","symbol":"IBM","venue":"XNYS","id":"1","event_time":"2026-11-20T14:30:00Z","price":"1","size":"1"}
{"kind":"correct","symbol":"IBM","venue":"XNYS","id":"1","new_id":"2","price":"3","size":"1","received_time":"2026-11-20T22:00:00Z"}
{"kind":"trade","symbol":"IBM","venue":"XNYS","id":"2","event_time":"2026-11-20T14:30:00Z","price":"3","size":"1"}
{"kind":"trade","symbol":"IBM","venue":"XNYS","id":"7","event_time":"2026-11-20T14:30:01Z","price":"4","size":"1"}
{"kind":"correct","symbol":"IBM","venue":"XNYS","id":"7","new_id":"8","price":"5","size":"1","received_time":"2026-11-20T22:00:00Z"}
{"kind":"trade","symbol":"IBM","venue":"XNYS","id":"8","event_time":"2026-11-20T14:30:02Z","price":"6","size":"1"}
"""


@pytest.mark.parametrize("engine", ["kernel", "reference"])
def test_trades_under_the_id_that_a_correction_gave_are_reported(
    tmp_path: Path, engine: str
) -> None:
    """Trade 2 is trade 1 sent again; trade 8 is no other than itself."""
    path = tmp_path / "renamed.jsonl"
    path.write_text(RENAMED)

    outcome = bars(path, "--resolution", "1m", "--profile", "all", "--engine", engine)

    assert outcome.stdout.splitlines()[1].split(",")[4:] == [
        "3", "6", "3", "6", "3", "4.666666666666666667", "3"
    ]  # fmt: skip
    assert outcome.stderr.splitlines()[1:] == [
        "  4 trades, 1 repeat among them; 2 cancels and corrections: 2 applied, 0 without a trade",
        "  1 trade sent again under an id that a correction gave; counted once",
        "  1 correction gave an id that another trade of the day has; both trades count: "
        "XNYS IBM 8",
    ]


@pytest.mark.parametrize("engine", ["kernel", "reference"])
def test_as_of_an_instant_the_report_counts_the_trades_known_by_then(
    tmp_path: Path, engine: str
) -> None:
    path = tmp_path / "renamed.jsonl"
    path.write_text(RENAMED)
    options = ("--resolution", "1m", "--profile", "all", "--engine", engine)

    outcome = bars(path, *options, "--as-of", "2026-11-20T14:30:01Z")

    assert outcome.stderr.splitlines()[1:] == [
        "  3 trades, 0 repeats among them, and 1 received later; 2 cancels and corrections: "
        "0 applied, 0 without a trade, 2 received later",
    ]


CHAIN = """\
{"kind":"correct","symbol":"IBM","venue":"XNYS","id":"2","new_id":"3","price":"1","size":"1","received_time":"2026-11-20T22:01:00Z"}
{"kind":"cancel","symbol":"IBM","venue":"XNYS","id":"3","received_time":"2026-11-20T22:02:00Z"}
{"kind":"cancel","symbol":"IBM","venue":"XNYS","id":"7","received_time":"2026-11-20T22:02:00Z"}
{"kind":"correct","symbol":"IBM","venue":"XNYS","id":"1","new_id":"2","price":"1","size":"1","received_time":"2026-11-20T22:00:00Z"}
{"kind":"trade","symbol":"IBM","venue":"XNYS","id":"1","event_time":"2026-11-20T14:30:00Z","price":"1","size":"1"}
"""


@pytest.mark.parametrize("engine", ["kernel", "reference"])
@pytest.mark.parametrize(
    ("as_of", "counts"),
    [
        ((), "3 applied, 1 without a trade"),
        (("--as-of", "2026-11-20T22:01:30Z"), "2 applied, 0 without a trade, 2 received later"),
    ],
    ids=["all", "as of"],
)
def test_a_chain_of_corrections_counts_as_applied(
    tmp_path: Path, engine: str, as_of: tuple[str, ...], counts: str
) -> None:
    path = tmp_path / "chain.jsonl"
    path.write_text(CHAIN)

    outcome = bars(path, "--resolution", "1m", "--profile", "sip", "--engine", engine, *as_of)

    assert counts in outcome.stderr
    assert len(outcome.stdout.splitlines()) == (2 if as_of else 1)


ROW = "1795185070,25.50,0.4\n"


def test_files_are_folders_patterns_and_standard_input(tmp_path: Path) -> None:
    for name in ("b/XYZUSD.csv", "a/ABCUSD.csv", "a/README.md", "a/.hidden.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(ROW)
    options = ("--resolution", "1m", "--profile", "all")

    whole = bars(tmp_path, *options, feed="kraken-csv")
    some = bars(tmp_path / "?" / "*.csv", *options, feed="kraken-csv")
    twice = CliRunner().invoke(
        truetape,
        ["bars", str(tmp_path), str(tmp_path / "a/ABCUSD.csv"), "--feed", "kraken-csv", *options],
    )
    piped = CliRunner().invoke(
        truetape,
        ["bars", "-", "--feed", "kraken-csv", "--symbol-is", "ABCUSD", *options],
        input=ROW,
    )

    symbols = [line.split(",")[0] for line in whole.stdout.splitlines()[1:]]
    assert symbols == ["ABCUSD", "XYZUSD"]
    readme = tmp_path / "a" / "README.md"
    assert whole.stderr.startswith(f"skipped, not named as trade files are: {readme}\n")
    assert "2 files: 2 records received" in whole.stderr
    assert some.stdout == whole.stdout == twice.stdout
    assert "given twice, read once: 1" in twice.stderr
    assert piped.stdout.splitlines()[1:] == whole.stdout.splitlines()[1:2]


@pytest.mark.parametrize("engine", ["kernel", "reference"])
@pytest.mark.parametrize(
    ("feed", "content"),
    [
        ("truetape", ""),
        ("truetape", " \n\n"),
        ("kraken-v2", "\ufeff"),
        ("kraken-csv", "\n\n"),
        ("kraken-csv", "time,price,volume\n"),
        ("polygon-flat", "ticker,price,size,sip_timestamp\r\n\r\n"),
    ],
)
def test_a_file_without_a_record_is_named_and_is_an_error_for_the_strict(
    tmp_path: Path, engine: str, feed: str, content: str
) -> None:
    path = tmp_path / "XBTUSD.txt"
    path.write_text(content)
    options = ("--resolution", "1m", "--profile", "all", "--engine", engine)

    assert f"without a record: {path}\n" in bars(path, *options, feed=feed).stderr
    bars(path, *options, "--strict", feed=feed, code=65)


def test_an_empty_file_among_others_is_named(tmp_path: Path) -> None:
    (tmp_path / "XBTUSD.csv").write_text(ROW)
    (tmp_path / "ETHUSD.csv").write_text("")
    options = ("--resolution", "1m", "--profile", "all")

    outcome = bars(tmp_path, *options, "--strict", feed="kraken-csv", code=65)

    assert f"without a record: {tmp_path / 'ETHUSD.csv'}\n" in outcome.stderr
    assert "2 files: 1 record received" in outcome.stderr


@pytest.mark.parametrize("engine", ["kernel", "reference"])
def test_a_symbol_may_be_written_in_any_case_where_that_is_unique(
    tmp_path: Path, engine: str
) -> None:
    path = tmp_path / "day.jsonl"
    first = NATIVE.splitlines()[0]
    path.write_text("\n".join(first.replace("IBM", name) for name in ("IBM", "aa", "Aa", "AAPL")))
    options = ("--resolution", "1m", "--profile", "all", "--engine", engine, "--symbol")

    assert [row[:5] for row in bars(path, *options, "ibm").stdout.splitlines()[1:]] == ["IBM,X"]
    assert [row[:3] for row in bars(path, *options, "aa").stdout.splitlines()[1:]] == ["aa,"]
    for symbol, message in {
        "AA": "no trade of AA; there are Aa, aa",
        "MSFT": "no trade of MSFT; there are AAPL, Aa, IBM, aa",
    }.items():
        assert str(bars(path, *options, symbol, code=1).exception) == message


@pytest.mark.parametrize(
    ("feed", "names", "read"),
    [
        ("truetape", ["day.jsonl", "notes.txt", "day.md", "Makefile"], ["day.jsonl"]),
        ("truetape", ["day.jsonl.gz.md", "day.csv", "list.txt.gz"], ["day.csv"]),
        (
            "kraken-csv",
            ["XBTUSD.csv", "ETHUSD.txt", "notes.txt", "export.csv", ".XBTEUR.csv"],
            ["ETHUSD.txt", "XBTUSD.csv"],
        ),
        (
            "lean-equity-tick",
            ["20131007_ibm_Trade_Tick.csv", "20131007_ibm_Quote_Tick.csv"],
            ["20131007_ibm_Trade_Tick.csv"],
        ),
    ],
)
def test_folders_and_archives_give_the_files_that_are_named_as_trade_files_of_the_feed(
    tmp_path: Path, feed: str, names: list[str], read: list[str]
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for name in names:
            (folder / name).write_text("x\n")
            archive.writestr(name, "x\n")
    options = ("--resolution", "1m", "--profile", "all")

    for source in (folder, tmp_path / "all.zip"):
        outcome = bars(source, *options, feed=feed, code=65)

        lines = [line for line in outcome.stderr.splitlines() if "skipped, " in line]
        skipped = "".join(line.rpartition("): ")[2] or line for line in lines)
        assert f"{len(read)} record{'s' * (len(read) > 1)} received" in outcome.stderr
        for name in names:
            assert (name in skipped) == (name not in read and not name.startswith(".")), skipped


def test_a_folder_of_which_nothing_is_read_says_why(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text(ROW)
    (tmp_path / "export.csv").write_text(ROW)
    options = ("--resolution", "1m", "--profile", "all")

    outcome = bars(tmp_path, *options, feed="kraken-csv", code=78)

    assert "export.csv" in str(outcome.exception)
    assert "--symbol-is gives it; feed kraken-csv knows names like XBTUSD.csv" in str(
        outcome.exception
    )
    told = bars(tmp_path, *options, "--symbol-is", "XBTUSD", feed="kraken-csv")
    assert "1 file: 1 record received" in told.stderr
    assert "notes.txt" in told.stderr


@pytest.mark.parametrize("name", ["absent.csv", "*.csv", "empty"])
def test_an_argument_that_means_no_file_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()

    outcome = bars(tmp_path / name, "--resolution", "1m", "--profile", "all", code=78)

    assert "no trade file is there" in str(outcome.exception)


def test_an_unknown_profile_is_an_error_that_lists_the_profiles(day: Path) -> None:
    outcome = bars(day, "--resolution", "1m", "--profile", "nyse", code=78)

    assert "sip" in str(outcome.exception) or "sip" in outcome.stderr


@pytest.mark.parametrize("resolution", ["1s", "5m", "1d"])
def test_both_engines_print_the_same_bytes(day: Path, resolution: str) -> None:
    options = ("--resolution", resolution, "--profile", "sip")

    assert bars(day, *options, "--engine", "reference").stdout == bars(day, *options).stdout


HOURS = """\
{"kind":"trade","symbol":"TCS","venue":"XNSE","id":"1","event_time":"2026-11-20T09:07:59+05:30","price":"3000","size":"4"}
{"kind":"trade","symbol":"TCS","venue":"XNSE","id":"2","event_time":"2026-11-20T09:15:00+05:30","price":"3010","size":"5"}
{"kind":"trade","symbol":"TCS","venue":"XNSE","id":"3","event_time":"2026-11-20T10:14:59.9+05:30","price":"3020","size":"6"}
{"kind":"trade","symbol":"TCS","venue":"XNSE","id":"4","event_time":"2026-11-20T10:15:00+05:30","price":"3005","size":"7"}
{"kind":"trade","symbol":"TCS","venue":"XNSE","id":"5","event_time":"2026-11-23T15:29:59+05:30","price":"3100","size":"8"}
"""


@pytest.fixture
def mumbai(tmp_path: Path) -> Path:
    path = tmp_path / "mumbai.jsonl"
    path.write_text(HOURS)
    return path


@pytest.mark.parametrize("engine", ["kernel", "reference"])
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            ("--resolution", "60m", "--origin", "open"),
            [
                "1h,2026-11-20T02:45:00Z,3000,3000,3000,3000,4,3000,1",
                "1h,2026-11-20T03:45:00Z,3010,3020,3010,3020,11,3015.454545454545454545,2",
                "1h,2026-11-20T04:45:00Z,3005,3005,3005,3005,7,3005,1",
                "1h,2026-11-23T09:45:00Z,3100,3100,3100,3100,8,3100,1",
            ],
        ),
        (
            ("--resolution", "4h"),
            [
                "4h,2026-11-20T00:00:00Z,3000,3010,3000,3010,9,3005.555555555555555556,2",
                "4h,2026-11-20T04:00:00Z,3020,3020,3005,3005,13,3011.923076923076923077,2",
                "4h,2026-11-23T08:00:00Z,3100,3100,3100,3100,8,3100,1",
            ],
        ),
        (
            ("--resolution", "1w"),
            [
                "1w,2026-11-16T03:45:00Z,3010,3020,3005,3005,18,3011.388888888888888889,3",
                "1w,2026-11-23T03:45:00Z,3100,3100,3100,3100,8,3100,1",
            ],
        ),
        (
            ("--resolution", "1M"),
            ["1M,2026-11-02T03:45:00Z,3010,3100,3005,3100,26,3038.653846153846153846,4"],
        ),
    ],
    ids=["hours from the open", "4h by UTC", "weeks", "months"],
)
def test_other_widths_are_folded_from_the_trades(
    mumbai: Path, engine: str, options: tuple[str, ...], expected: list[str]
) -> None:
    """Mumbai opens at 09:15, 03:45 UTC; weeks and months are of regular sessions."""
    outcome = bars(mumbai, *options, "--profile", "all", "--engine", engine)

    assert outcome.stdout.splitlines() == [HEADER, *(f"TCS,XNSE,{line}" for line in expected)]


@pytest.mark.parametrize("engine", ["kernel", "reference"])
def test_empty_intervals_of_the_session_are_filled_on_request(mumbai: Path, engine: str) -> None:
    """From the first bar on: 7 hours of Friday, of which 2 have trades, 6 hours of Monday."""
    options = ("--resolution", "1h", "--origin", "open", "--fill", "previous", "--profile", "all")

    rows = bars(mumbai, *options, "--engine", engine).stdout.splitlines()

    assert rows[0] == f"{HEADER},filled"
    assert rows[1] == "TCS,XNSE,1h,2026-11-20T02:45:00Z,3000,3000,3000,3000,4,3000,1,false"
    assert rows[4] == "TCS,XNSE,1h,2026-11-20T05:45:00Z,3005,3005,3005,3005,0,,0,true"
    assert rows[9] == "TCS,XNSE,1h,2026-11-23T03:45:00Z,3005,3005,3005,3005,0,,0,true"
    assert [row.rsplit(",", 1)[1] for row in rows[1:]] == (
        ["false"] * 3 + ["true"] * 5 + ["true"] * 6 + ["false"]
    )


def test_no_interval_after_the_time_of_the_question_is_filled(mumbai: Path) -> None:
    options = ("--resolution", "1h", "--origin", "open", "--fill", "previous", "--profile", "all")

    rows = bars(mumbai, *options, "--as-of", "2026-11-20T07:44:59Z").stdout.splitlines()

    assert [row.split(",")[3] for row in rows[-2:]] == [
        "2026-11-20T04:45:00Z", "2026-11-20T05:45:00Z",
    ]  # fmt: skip


@pytest.mark.parametrize("engine", ["kernel", "reference"])
@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        (
            "trades=2",
            [
                "trades=2,2026-11-20T03:37:59Z,3000,3010,3000,3010,9,3005.555555555555555556,2,"
                "2026-11-20,0,2026-11-20T03:45:00Z",
                "trades=2,2026-11-20T04:44:59.900Z,3020,3020,3005,3005,13,3011.923076923076923077,2,"
                "2026-11-20,1,2026-11-20T04:45:00Z",
                "trades=2,2026-11-23T09:59:59Z,3100,3100,3100,3100,8,3100,1,"
                "2026-11-23,0,2026-11-23T09:59:59Z",
            ],
        ),
        (
            "volume=15",
            [
                "volume=15,2026-11-20T03:37:59Z,3000,3020,3000,3020,15,3011.333333333333333333,3,"
                "2026-11-20,0,2026-11-20T04:44:59.900Z",
                "volume=15,2026-11-20T04:45:00Z,3005,3005,3005,3005,7,3005,1,"
                "2026-11-20,1,2026-11-20T04:45:00Z",
                "volume=15,2026-11-23T09:59:59Z,3100,3100,3100,3100,8,3100,1,"
                "2026-11-23,0,2026-11-23T09:59:59Z",
            ],
        ),
    ],
    ids=["ticks", "volume"],
)
def test_bars_by_amount_are_folded_from_the_trades(
    mumbai: Path, engine: str, amount: str, expected: list[str]
) -> None:
    outcome = bars(mumbai, "--by", amount, "--profile", "all", "--engine", engine)

    assert outcome.stdout.splitlines() == [
        f"{HEADER},session,seq,end", *(f"TCS,XNSE,{line}" for line in expected),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--resolution", "7m"), "7m does not divide a day; 6m and 8m do"),
        (("--resolution", "15M"), "bars of 15M are not offered"),
        (("--by", "ticks=5"), "write it like trades=500"),
        ((), "give either --resolution or --by"),
        (("--by", "trades=5", "--resolution", "1m"), "give either --resolution or --by"),
        (("--by", "trades=5", "--fill", "previous"), "--origin and --fill are for --resolution"),
        (("--resolution", "1m", "--origin", "close"), "'close' is not one of"),
        (("--resolution", "1m", "--fill", "linear"), "'linear' is not one of"),
    ],
)
def test_a_width_that_cannot_be_is_refused_with_what_can(
    day: Path, options: tuple[str, ...], message: str
) -> None:
    assert message in bars(day, *options, "--profile", "all", code=2).output


@pytest.mark.data
@pytest.mark.real  # the reference reads 33,000 trades
@pytest.mark.parametrize(
    "options",
    [("--resolution", "15s"), ("--resolution", "30m", "--origin", "open"), ("--by", "volume=5000")],
    ids=" ".join,
)
def test_both_engines_print_the_same_bytes_for_a_real_day_at_other_widths(
    options: tuple[str, ...],
) -> None:
    path = real_data("lean_us_equity_2013-10", "tick", "ibm", "20131008_trade.zip")
    options, feed = (*options, "--profile", "lean"), "lean-equity-tick"

    by_reference = bars(path, *options, "--engine", "reference", feed=feed)

    assert by_reference.stdout == bars(path, *options, feed=feed).stdout


@pytest.mark.data
@pytest.mark.real  # the reference reads 33,000 trades
@pytest.mark.parametrize("resolution", ["1s", "1h"])
def test_both_engines_print_the_same_bytes_for_a_real_day(resolution: str) -> None:
    path = real_data("lean_us_equity_2013-10", "tick", "ibm", "20131008_trade.zip")
    options = ("--resolution", resolution, "--profile", "lean")
    feed = "lean-equity-tick"

    by_reference = bars(path, *options, "--engine", "reference", feed=feed)

    assert by_reference.stdout == bars(path, *options, feed=feed).stdout


def test_the_help_has_an_example() -> None:
    shown = subprocess.run(
        ["truetape", "bars", "--help"], capture_output=True, text=True, check=True
    )

    assert "truetape bars 20131007_trade.zip" in shown.stdout


def bars(path: Path, *options: str, feed: str = "truetape", code: int = 0) -> Result:
    outcome = CliRunner().invoke(truetape, ["bars", str(path), "--feed", feed, *options])
    exit_code = getattr(outcome.exception, "exit_code", outcome.exit_code)
    assert exit_code == code, outcome.output
    return outcome


def test_bars_of_one_symbol_are_drawn(tmp_path: Path) -> None:
    line = '{"kind":"trade","symbol":"SYM","event_time":"2025-11-20T14:31:0NZ","price":1,"size":2}'
    lines = [
        line.replace("SYM", symbol).replace("0N", f"0{second}")
        for second, symbol in enumerate(("A", "A", "B"))
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    words = [str(tmp_path / "a.jsonl"), "--feed", "truetape", "--profile", "all"]
    words += ["--resolution", "1s", "--plot", str(tmp_path / "a.html")]

    drawn = CliRunner().invoke(truetape, ["bars", *words, "--symbol", "A"])
    several = CliRunner().invoke(truetape, ["bars", *words])

    assert "2 bars in " in drawn.output
    alone = CliRunner().invoke(truetape, ["bars", *words, "--symbol", "b"])
    assert alone.output.startswith("1 bar in ")
    assert CliRunner().invoke(truetape, ["bars", *words, "--symbol", "A"]).exit_code == 0
    assert "A 1s on USEQ" in (tmp_path / "a.html").read_text()
    assert several.exit_code == 2
    assert "there are A, B: add --symbol" in several.output
