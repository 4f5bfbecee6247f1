"""Upkeep of the lake: small files become large ones, files that were replaced go. Needs no Spark.

Readers of older versions keep them for a while; what a table says now never changes.
"""

from dataclasses import dataclass

from truetape.lake.delta import first_to_commit, open_or_none
from truetape.lake.tables import Table, table_path


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
    done = []
    for name in Table:
        table = open_or_none(lake, name)
        if table is None:
            continue
        with first_to_commit(table_path(lake, name)):
            counts = table.optimize.compact()
            gone = table.vacuum(retention_hours=keep_h, dry_run=False)
        merged, written = counts["numFilesRemoved"], counts["numFilesAdded"]
        done.append(Tidied(name, merged, written, len(gone)))
    return done
