"""Replacement: puts new files in the place of a session's rows of `trades` or `bars`.

The session's files are compared when it commits with those when it began. So of two writers of a
session one is refused, and writers of other sessions do not disturb.
"""

from collections.abc import Sequence

from truetape.lake.data_files import DataFile, remove
from truetape.lake.delta import (
    LakeTable,
    ensure_table,
    lost_race,
    new_files,
    open_table,
    table_files,
)
from truetape.lake.tables import Table, session_condition, table_path
from truetape.market.sessions import Session

MAX_TRIES = 20
"""How often a commit is tried while writers of other sessions commit."""


class Replacement:
    """Replaces a session's rows of a table, of all symbols or of some, in one commit.

    Creates the table if it does not exist.
    """

    def __init__(
        self, lake: str, table: Table, session: Session, symbols: Sequence[str] | None = None
    ) -> None:
        ensure_table(lake, table)
        self._lake, self._name = lake, table
        self._session, self._symbols = session, symbols
        self._table = open_table(lake, table)
        self._before = self._files(self._table)

    def commit(self, files: Sequence[DataFile]) -> None:
        """Put files in the place of the rows. Raise TransientError if another writer has changed
        the session's rows meanwhile; the files are removed then. After any other error they may be
        the table's.
        """
        if self._symbols is not None:
            files = [*files, *self._kept(self._symbols)]
        table = self._table
        for _ in range(MAX_TRIES):
            if self._files(table) != self._before:
                break
            if table.swap_files(files, "recompute", self._session):
                return
            table = open_table(self._lake, self._name)
        remove(table_files(self._lake, self._name), files)
        raise lost_race(table_path(self._lake, self._name))

    def _kept(self, symbols: Sequence[str]) -> list[DataFile]:
        """Write the rows of all other symbols anew."""
        import pyarrow as pa
        import pyarrow.compute as pc

        from truetape.lake.schemas import SCHEMAS

        is_other = ~pc.field("symbol").isin(list(symbols))
        others = session_condition(self._session) & is_other
        with new_files(self._lake, self._name) as writer:
            for part in self._table.parts(others):
                for batch in part.batches(SCHEMAS[self._name].names, others):
                    writer.write(pa.Table.from_batches([batch]))
            return writer.finish()

    def _files(self, table: LakeTable) -> set[str]:
        return set(table.files(self._session))
