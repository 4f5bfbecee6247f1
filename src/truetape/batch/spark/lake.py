"""The lake's tables in Spark: reads and replaces them.

Does not compute what goes into them; their columns are in `lake.schemas`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import from_arrow_schema
from pyspark.sql.types import StructType

from truetape.host.sql import quoted
from truetape.lake.delta import missing_table, open_or_none
from truetape.lake.schemas import PARTITIONS, SCHEMAS
from truetape.lake.tables import Table, table_path
from truetape.market.sessions import Session

RAW, TRADES, BARS = (
    from_arrow_schema(SCHEMAS[table]) for table in (Table.RAW, Table.TRADES, Table.BARS)
)
_SCHEMAS: Mapping[Table, StructType] = {Table.RAW: RAW, Table.TRADES: TRADES, Table.BARS: BARS}


@dataclass(frozen=True, slots=True)
class Lake:
    """The tables under `root`: a local path, or any URL that both Spark and deltalake accept."""

    root: str

    def path(self, table: Table) -> str:
        """Return the folder or URL of a table."""
        return table_path(self.root, table)

    def read(self, spark: SparkSession, table: Table, version: int | None = None) -> DataFrame:
        """Read a table, its newest version or an older one. Raise ConfigError if there is none,
        if it has old widths, or if a commit of it is lost: Spark would read it as a commit that
        changed nothing.
        """
        if open_or_none(self.root, table) is None:
            raise missing_table(self.root, table)
        reader = spark.read.format("delta")
        if version is not None:
            reader = reader.option("versionAsOf", version)
        return reader.load(self.path(table))

    def replace(
        self,
        frame: DataFrame,
        table: Table,
        session: Session,
        symbols: Sequence[str] | None = None,
    ) -> None:
        """Replace a session of `trades` or `bars`, or some symbols of it, in one commit; all other
        rows stay.
        """
        open_or_none(self.root, table)  # refuses a damaged table, and one of old widths
        where = f"venue = '{session.venue}' AND session = DATE'{session.date.isoformat()}'"
        if symbols is not None:
            where += f" AND symbol IN ({', '.join(map(quoted, symbols))})"
        (
            frame.select(*_SCHEMAS[table].names)
            .write.format("delta")
            .mode("overwrite")
            .option("replaceWhere", where)
            .partitionBy(*PARTITIONS[table])
            .save(self.path(table))
        )
