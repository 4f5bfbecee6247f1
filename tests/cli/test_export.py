"""`truetape export`: files for other programs."""

from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import pyarrow.csv
import pyarrow.parquet
import pytest
from click.testing import CliRunner, Result

from support.build import NOON
from support.drifting import DAY
from support.serving import MINUTE_NS, bar, bars
from support.session_lake import lake_session
from truetape.cli.export import export
from truetape.history import bars as reader
from truetape.history.bar_columns import bar_schema
from truetape.host.errors import TruetapeError
from truetape.host.settings import Settings
from truetape.market.resolution import Resolution
from truetape.serving.backends import open_store

Run = Callable[..., Result]


@pytest.fixture
def run(environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)
    settings = Settings.from_env(environment)
    with closing(open_store(settings)) as store:
        store.write(Resolution.MINUTE, bars(5))
        store.write(Resolution.MINUTE, [bar(symbol="KO", layer="speed", final=False, rev=0)])
        store.write(Resolution.MINUTE, [bar(start_ns=NOON + 9 * MINUTE_NS, void=True)])
    lake_session(DAY).write(settings.lake)

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(export, arguments, env=environment)

    return invoke


def test_a_parquet_file_has_the_schema_and_rows_of_the_reader(run: Run, tmp_path: Path) -> None:
    result = run("--from", "2026-11-20")

    assert result.exit_code == 0, result.output
    assert result.stdout == "6 bars of 1m in bars-1m.parquet\n"
    table = pyarrow.parquet.read_table(tmp_path / "bars-1m.parquet")
    assert table.schema.equals(bar_schema())
    assert table["symbol"].to_pylist() == ["IBM"] * 5 + ["KO"]
    assert table["final"].to_pylist() == [True] * 5 + [False]


def test_all_batches_are_written_to_one_file(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "BATCH_ROWS", 2)

    run("IBM", "--from", "2026-11-20", "--output", "ibm.csv")

    rows = (tmp_path / "ibm.csv").read_text().splitlines()
    assert len(rows) == 6
    assert rows[0].startswith('"start","symbol","venue"')
    assert rows[1].startswith('2026-11-20 17:00:00.000000000Z,"IBM","XNYS",2026-11-20,0,100,101.5')


def test_final_only_exports_only_final_bars(run: Run, tmp_path: Path) -> None:
    run("--from", "2026-11-20", "--final-only")

    assert len(pyarrow.parquet.read_table(tmp_path / "bars-1m.parquet")) == 5


@pytest.mark.parametrize(("flag", "ids"), [
    ("--trades", ["1", "61", "62", "63", "121"]),
    ("--all-trades", ["1", "2", "61", "62", "63", "121"]),
])  # fmt: skip
def test_exported_trades_have_exact_decimals(
    run: Run, tmp_path: Path, flag: str, ids: list[str]
) -> None:
    result = run("IBM", "--from", "2024-11-22", flag)

    table = pyarrow.parquet.read_table(tmp_path / "trades.parquet")
    assert result.stdout == f"{len(ids)} trades in trades.parquet\n"
    assert table["id"].to_pylist() == ids
    assert str(table.schema.field("price").type) == "decimal128(38, 18)"


def test_csv_has_the_conditions_of_a_trade_as_one_text(run: Run, tmp_path: Path) -> None:
    run("IBM", "--from", "2024-11-22", "--trades", "--output", "trades.csv")

    table = pyarrow.csv.read_csv(tmp_path / "trades.csv")
    assert set(table["conditions"].to_pylist()) == {"@"}


def test_numbers_in_csv_have_no_trailing_zeros(run: Run, tmp_path: Path) -> None:
    run("IBM", "--from", "2024-11-22", "--trades", "--output", "trades.csv")

    header, first, *_ = (tmp_path / "trades.csv").read_text().splitlines()
    row = dict(zip(header.split(","), first.split(","), strict=True))
    assert (row['"price"'], row['"size"']) == ('"100"', '"10"')


def test_as_of_exports_bars_as_known_at_that_instant(run: Run, tmp_path: Path) -> None:
    run("IBM", "--from", "2024-11-22", "--as-of", "2024-11-22T17:04:00Z")

    table = pyarrow.parquet.read_table(tmp_path / "bars-1m.parquet")
    assert table["high"].to_pylist() == [100.0, 100.0, 100.0]


def test_bars_of_other_widths_are_rolled_up(run: Run, tmp_path: Path) -> None:
    run("IBM", "--from", "2026-11-20", "--resolution", "3m", "--origin", "open")

    table = pyarrow.parquet.read_table(tmp_path / "bars-3m.parquet")
    assert table["high"].to_pylist() == [101.5, 101.5]
    assert table["volume"].to_pylist() == [3_600.0, 2_400.0]


def test_exact_bars_are_decimals_of_the_lake(run: Run, tmp_path: Path) -> None:
    run("--from", "2024-11-22", "--resolution", "3m", "--exact")
    run("IBM", "--from", "2024-11-22", "--exact", "--output", "bars.csv")

    table = pyarrow.parquet.read_table(tmp_path / "bars-3m.parquet")
    assert str(table.schema.field("vwap").type) == "decimal128(38, 18)"
    assert [str(volume.normalize()) for volume in table["volume"].to_pylist()] == ["7E+1", "2E+1"]
    _, _, second, _ = (tmp_path / "bars.csv").read_text().splitlines()
    assert '"100.333333333333333333"' in second


def test_without_data_the_old_file_stays_and_no_new_one_is_written(
    run: Run, tmp_path: Path
) -> None:
    (tmp_path / "old.csv").write_text("old")

    result = run("NONE", "--from", "2026-11-20", "--output", "old.csv")

    assert isinstance(result.exception, TruetapeError)
    assert (tmp_path / "old.csv").read_text() == "old"
    assert [path.name for path in tmp_path.glob("*.part")] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--from", "2026-11-20", "--output", "bars.xlsx"), "name it .parquet or .csv"),
        (("--from", "2026-11-20", "--trades", "--final-only"), "are for bars"),
        (("--from", "2026-11-20", "--exact", "--fill", "previous"), "no --as-of and no --fill"),
        (("--from", "2026-11-20", "--as-of", "2026-11-20T15:00:00Z"), "name the symbols"),
    ],
    ids=["a spreadsheet", "final trades", "exact filled", "everything as of"],
)
def test_options_that_cannot_be_combined_are_refused(
    run: Run, arguments: tuple[str, ...], message: str
) -> None:
    result = run(*arguments)

    assert result.exit_code == 2
    assert message in result.output


def test_an_output_path_that_cannot_be_written_is_named(run: Run) -> None:
    result = run("--from", "2026-11-20", "--output", "no/such/folder.csv")

    assert "cannot write no/such/folder.csv" in str(result.exception)
