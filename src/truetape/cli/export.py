"""The verb `export`: writes served bars or canonical trades to a file. Computes neither."""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from truetape.cli.options import SYMBOL, VENUE, timeframe_option
from truetape.host.errors import ConfigError, TruetapeError
from truetape.host.private_home import current_settings, files_for_others
from truetape.host.settings import Settings
from truetape.host.timeframes import require_timeframe
from truetape.market.timeframe import Fill

if TYPE_CHECKING:
    import pyarrow
    import pyarrow.csv
    import pyarrow.parquet

    from truetape.history.bar_selection import BarSelection
    from truetape.history.period import Period

FORMATS = ("parquet", "csv")


@click.command()
@click.argument("symbols", nargs=-1, type=SYMBOL)
@click.option(
    "--from", "start", required=True, help="First trading day, or an instant with its offset."
)
@click.option("--to", "end", help="Day or instant after the last [no end].")
@timeframe_option
@click.option("--trades", is_flag=True, help="The trades that make the bars, not the bars.")
@click.option("--all-trades", is_flag=True, help="Also duplicate and cancelled trades, flagged.")
@click.option("--venue", type=VENUE, help="Only this venue, like XNYS.")
@click.option("--final-only", is_flag=True, help="Only bars that were published.")
@click.option("--exact", is_flag=True, help="Exact decimals, from the lake's recomputed bars.")
@click.option("--as-of", help="Bars as known at an instant: from trades received by then.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File; .parquet or .csv [bars-1m.parquet, trades.parquet].",
)
def export(  # noqa: PLR0917 - one parameter an option
    symbols: tuple[str, ...],
    start: str,
    end: str | None,
    resolution: str,
    origin: str,
    fill: str,
    trades: bool,
    all_trades: bool,
    venue: str | None,
    final_only: bool,
    exact: bool,
    as_of: str | None,
    output: Path | None,
) -> None:
    """Write served bars of SYMBOLS, or of all symbols, to a Parquet or CSV file.

    Every bar has its layer, `final` and rev; `truetape show --help` says what these are for bars
    that are rolled up, and what --fill adds. --exact writes the bars of the last recompute with all
    decimals, equal to a fold of the trades; they are final if they are as published.

    With --trades the file has the canonical trades of the bars instead. The file appears only when
    it is complete: after a failure there is no new file, and an older one stays. Exit code 1: there
    is no data in that window.

    \b
      truetape export IBM KO --from 2026-11-20
      truetape export IBM --from 2026-11-20T14:30:00Z --resolution 1s --output ibm.csv
      truetape export IBM --from 2026-11-01 --resolution 30m --origin open
      truetape export IBM --from 2026-11-20 --resolution 4h --exact
      truetape export IBM --from 2026-11-20 --as-of 2026-11-20T15:00:00Z
      truetape export --from 2026-11-20 --to 2026-11-21 --trades
    """
    from truetape.history.bar_selection import BarSelection
    from truetape.history.period import parse_instant, parse_period

    wants_trades = trades or all_trades
    if wants_trades and (final_only or exact or as_of):
        raise click.UsageError("--final-only, --exact and --as-of are for bars; trades are exact")
    if exact and (as_of or fill != Fill.NONE):
        raise click.UsageError("--exact is what the last recompute made: no --as-of and no --fill")
    if as_of and not symbols:
        raise click.UsageError("--as-of folds trades again: name the symbols")
    path = output or Path("trades.parquet" if wants_trades else f"bars-{resolution}.parquet")
    if path.suffix.removeprefix(".") not in FORMATS:
        raise click.UsageError(f"--output {path}: name it .parquet or .csv")
    settings, period = current_settings(), parse_period(start, end)
    named = list(symbols) if wants_trades or exact else _served(settings, symbols)
    names = named or None
    if wants_trades:
        schema, batches = _trades(settings, period, names, venue, in_force_only=not all_trades)
    else:
        known_at = None if as_of is None else parse_instant(as_of, "--as-of")
        timeframe = require_timeframe(resolution, origin)
        selection = BarSelection(
            timeframe, period, names, venue, final_only, known_at, Fill(fill), exact
        )
        schema, batches = _bars(settings, selection)
    with files_for_others():
        rows = _write_all(path, schema, batches)
    click.echo(f"{rows:,} {'trades' if wants_trades else f'bars of {resolution}'} in {path}")


def _served(settings: Settings, symbols: tuple[str, ...]) -> list[str]:
    from truetape.history.served_symbols import as_served
    from truetape.serving.backends import open_store

    if not symbols:
        return []
    with closing(open_store(settings)) as store:
        return [as_served(store, symbol) for symbol in symbols]


def _bars(
    settings: Settings, selection: "BarSelection"
) -> tuple["pyarrow.Schema", Iterator["pyarrow.RecordBatch"]]:
    from truetape.history.bar_columns import bar_schema
    from truetape.history.bars import bar_batches, exact_bar_batches
    from truetape.serving.backends import open_store

    if selection.exact:
        return bar_schema(exact=True), exact_bar_batches(settings, selection)

    def batches() -> Iterator["pyarrow.RecordBatch"]:
        with closing(open_store(settings)) as store:
            yield from bar_batches(settings, store, selection)

    return bar_schema(), batches()


def _trades(
    settings: Settings,
    period: "Period",
    symbols: list[str] | None,
    venue: str | None,
    *,
    in_force_only: bool,
) -> tuple["pyarrow.Schema", Iterator["pyarrow.RecordBatch"]]:
    from truetape.history.trades import TradeSelection, trade_batches, trade_schema

    selection = TradeSelection(period, symbols, venue, in_force_only)
    return trade_schema(), trade_batches(settings, selection, exact=True)


def _write_all(
    path: Path, schema: "pyarrow.Schema", batches: Iterator["pyarrow.RecordBatch"]
) -> int:
    """Write all batches to a temporary file, then rename it to `path`. Return the rows."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    rows = 0
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("reading")
        with _temporary(path) as part, _writer(part, path.suffix, schema) as writer:
            for batch in batches:
                writer.write_batch(_flat(batch) if path.suffix == ".csv" else batch)
                rows += batch.num_rows
                progress.update(task, description=f"{rows:,} rows")
            if not rows:
                raise TruetapeError("there is no data in that window; no file was written")
    return rows


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """Yield a temporary file; rename it to `path` at the end, or delete it on failure."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        part.replace(path)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error}") from error
    finally:
        part.unlink(missing_ok=True)


def _writer(
    part: Path, suffix: str, schema: "pyarrow.Schema"
) -> "pyarrow.parquet.ParquetWriter | pyarrow.csv.CSVWriter":
    import pyarrow.csv
    import pyarrow.parquet

    if suffix == ".csv":
        return pyarrow.csv.CSVWriter(part, _flat_schema(schema))
    return pyarrow.parquet.ParquetWriter(part, schema)


def _flat_schema(schema: "pyarrow.Schema") -> "pyarrow.Schema":
    import pyarrow as pa

    return pa.schema(
        [
            field.with_type(pa.string())
            if pa.types.is_list(field.type) or pa.types.is_decimal(field.type)
            else field
            for field in schema
        ]
    )


def _flat(batch: "pyarrow.RecordBatch") -> "pyarrow.RecordBatch":
    """Return text for what CSV lacks: conditions joined by spaces, decimals without zeros."""
    import pyarrow as pa

    columns = [_flat_column(column) for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, schema=_flat_schema(batch.schema))


def _flat_column(column: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    from truetape.drift.table import plain

    if pa.types.is_list(column.type):
        return pc.binary_join(column, " ")
    if not pa.types.is_decimal(column.type):
        return column
    encoded = column.dictionary_encode()
    texts = [None if value is None else plain(value) for value in encoded.dictionary.to_pylist()]
    return pa.array(texts, pa.string()).take(encoded.indices)
