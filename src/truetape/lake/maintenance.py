"""Maintenance of the lake: merges small files into large ones, removes files that were replaced.

Never changes the rows of a table. Readers of older versions keep their files for a while.
"""

from dataclasses import dataclass

from truetape.lake.delta import open_or_none
from truetape.lake.tables import Table


@dataclass(frozen=True, slots=True)
class TableMaintenance:
    """The result for one table, in files."""

    table: str
    merged: int
    """Small files that were merged into larger ones."""
    written: int
    removed: int
    """Replaced files that were deleted from disk after their retention."""


def compact_and_vacuum(lake: str, keep_h: int) -> list[TableMaintenance]:
    """Compact and vacuum each table that exists; safe to repeat and to kill.

    A table with few large files costs one look at its log. Raise TransientError if another writer
    changes the same files first.
    """
    results = []
    for name in Table:
        table = open_or_none(lake, name)
        if table is None:
            continue
        merged, written = table.compact()
        results.append(TableMaintenance(name, merged, written, table.vacuum(keep_h)))
    return results
