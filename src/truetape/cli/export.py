"""The verb `export`: served bars, or canonical trades, into a file for other programs."""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from truetape.cli.batch import RESOLUTION
from truetape.host.errors import ConfigError, TruetapeError
from truetape.host.settings import Settings
from truetape.market.resolution import Resolution

if TYPE_CHECKING:
    import pyarrow
    import pyarrow.csv
    import pyarrow.parquet

    from truetape.history.period import Window

FORMATS = ("parquet", "csv")


@click.command()
@click.argument("symbols", nargs=-1)
@click.option(
    "--from", "start", required=True, help="First trading day, or an instant with its offset."
)
@click.option("--to", "end", help="Day or instant after the last [all that there is].")
@click.option(
    "--resolution",
    type=RESOLUTION,
    default="1m",
    show_default=True,
    help="Width of the bars.",
)
@click.option("--trades", is_flag=True, help="The trades that make the bars, not the bars.")
@click.option("--all-trades", is_flag=True, help="Also repeats and cancelled ones, with flags.")
@click.option("--venue", help="Only this venue, like XNYS.")
@click.option("--final-only", is_flag=True, help="Only bars that were published.")
@click.option("--as-of", help="Bars as known at an instant: from what was received by then.")
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
    trades: bool,
    all_trades: bool,
    venue: str | None,
    final_only: bool,
    as_of: str | None,
    output: Path | None,
) -> None:
    """Write served bars of SYMBOLS (all of them when none is named) into a Parquet or CSV file.

    Every bar comes with its layer, with `final` and with its rev. With --trades the file has the
    canonical trades that the bars are made of. The file appears when it is whole.

    \b
      truetape export IBM KO --from 2026-11-20
      truetape export IBM --from 2026-11-20T14:30:00Z --resolution 1s --output ibm.csv
      truetape export IBM --from 2026-11-20 --as-of 2026-11-20T15:00:00Z
      truetape export --from 2026-11-20 --to 2026-11-21 --trades
    """
    from truetape.history.period import window

    wants_trades = trades or all_trades
    if wants_trades and (final_only or as_of):
        raise click.UsageError("--final-only and --as-of are for bars")
    if as_of and not symbols:
        raise click.UsageError("--as-of folds trades anew: name the symbols")
    path = output or Path("trades.parquet" if wants_trades else f"bars-{resolution}.parquet")
    if path.suffix.removeprefix(".") not in FORMATS:
        raise click.UsageError(f"--output {path}: name it .parquet or .csv")
    settings, names, chosen = Settings.from_env(), list(symbols) or None, window(start, end)
    if wants_trades:
        schema, batches = _trades(settings, chosen, names, venue, in_force_only=not all_trades)
    else:
        schema, batches = _bars(
            settings, chosen, names, venue, resolution, final_only=final_only, as_of=as_of
        )
    rows = _written(path, schema, batches)
    click.echo(f"{rows:,} {'trades' if wants_trades else f'bars of {resolution}'} in {path}")


def _bars(
    settings: Settings,
    chosen: "Window",
    symbols: list[str] | None,
    venue: str | None,
    resolution: str,
    *,
    final_only: bool,
    as_of: str | None,
) -> tuple["pyarrow.Schema", Iterator["pyarrow.RecordBatch"]]:
    from truetape.history.bars import Chosen, bar_batches, bar_schema
    from truetape.history.period import instant
    from truetape.serving.backends import open_store

    known_at = None if as_of is None else instant(as_of, "--as-of")
    asked = Chosen(Resolution(resolution), chosen, symbols, venue, final_only, known_at)

    def batches() -> Iterator["pyarrow.RecordBatch"]:
        with closing(open_store(settings)) as store:
            yield from bar_batches(settings, store, asked)

    return bar_schema(), batches()


def _trades(
    settings: Settings,
    chosen: "Window",
    symbols: list[str] | None,
    venue: str | None,
    *,
    in_force_only: bool,
) -> tuple["pyarrow.Schema", Iterator["pyarrow.RecordBatch"]]:
    from truetape.history.trades import Chosen, trade_batches, trade_schema

    asked = Chosen(chosen, symbols, venue, in_force_only)
    return trade_schema(), trade_batches(settings, asked, exact=True)


def _written(path: Path, schema: "pyarrow.Schema", batches: Iterator["pyarrow.RecordBatch"]) -> int:
    """Write all batches beside the file and put it in its place; return the rows."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    rows = 0
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("reading")
        with _beside(path) as part, _writer(part, path.suffix, schema) as writer:
            for batch in batches:
                writer.write_batch(_flat(batch) if path.suffix == ".csv" else batch)
                rows += batch.num_rows
                progress.update(task, description=f"{rows:,} rows")
            if not rows:
                raise TruetapeError("nothing is there in that window, so no file was written")
    return rows


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """Give a file to write; it takes the place of `path` at the end, and goes where that fails."""
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
            field.with_type(pa.string()) if pa.types.is_list(field.type) else field
            for field in schema
        ]
    )


def _flat(batch: "pyarrow.RecordBatch") -> "pyarrow.RecordBatch":
    """CSV knows no lists: the conditions of a print as words."""
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = [
        pc.binary_join(column, " ") if pa.types.is_list(column.type) else column
        for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(columns, schema=_flat_schema(batch.schema))
