"""Upkeep of the lake: small files become large ones, files that were replaced go. Needs no Spark.

Readers of older versions keep them for a while; what a table says now never changes.
"""

from dataclasses import dataclass

from truetape.host.errors import TransientError
from truetape.lake.tables import table_path

TABLES = (
    "raw", "counted", "trades", "bars", "basis", "dirty", "superseded", "drift", "publications",
)  # fmt: skip
"""The folders of the lake's tables; `batch.spark.lake` knows their columns, and imports Spark."""


@dataclass(frozen=True, slots=True)
class Tidied:
    """What was done to one table, counted in files."""

    table: str
    merged: int
    """Files that went into larger ones."""
    written: int
    removed: int
    """Files removed from disk: replaced longer ago than they are kept."""


def tidy(lake: str, keep_h: int) -> list[Tidied]:
    """Compact and vacuum each table that is there; safe to repeat and to kill.

    A table whose files are few and large costs a look at its log. TransientError when another
    writer changed the same files first.
    """
    from deltalake import DeltaTable
    from deltalake.exceptions import CommitFailedError

    done = []
    for name in TABLES:
        path = table_path(lake, name)
        if not DeltaTable.is_deltatable(path):
            continue
        table = DeltaTable(path)
        try:
            counts = table.optimize.compact()
            gone = table.vacuum(retention_hours=keep_h, dry_run=False)
        except CommitFailedError as error:
            raise TransientError(f"{path}: another writer was first, {error}") from error
        merged, written = counts["numFilesRemoved"], counts["numFilesAdded"]
        done.append(Tidied(name, merged, written, len(gone)))
    return done
