"""The lake: Delta tables under one root. Knows their columns, not how they are computed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    BooleanType,
    DataType,
    DateType,
    DecimalType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
)

from truetape.batch.spark.decoder import EVENT, REJECTED
from truetape.host.errors import ConfigError
from truetape.lake.tables import Table, quoted, table_path
from truetape.market.sessions import Session

_TYPES: Mapping[str, DataType] = {
    "int": IntegerType(),
    "bigint": LongType(),
    "string": StringType(),
    "binary": BinaryType(),
    "boolean": BooleanType(),
    "date": DateType(),
    "strings": ArrayType(StringType()),
    "price": DecimalType(18, 9),
    "size": DecimalType(18, 8),
    "volume": DecimalType(28, 8),
    "vwap": DecimalType(18, 8),
    "notional": DecimalType(38, 17),
}


def _columns(**types: str) -> StructType:
    return StructType([StructField(name, _TYPES[kind]) for name, kind in types.items()])


RAW = (
    _columns(
        topic="string",
        partition="int",
        offset="bigint",
        record_ms="bigint",
        key="string",
        value="binary",
        feed="string",
        received_ns="bigint",
        contract_version="int",
        date="date",
        first_event_ns="bigint",
        last_event_ns="bigint",
        amends="boolean",
        accepted="int",
        rejections="int",
    )
    .add("events", ArrayType(EVENT))
    .add("rejected", ArrayType(REJECTED))
)
TRADES = _columns(
    venue="string",
    session="date",
    symbol="string",
    ordinal="bigint",
    feed="string",
    id="string",
    sequence="bigint",
    event_ns="bigint",
    received_ns="bigint",
    price="price",
    size="size",
    conditions="strings",
    tape="string",
    exchange="string",
    topic="string",
    partition="int",
    offset="bigint",
    index="int",
    duplicate="boolean",
    cancelled="boolean",
    corrected="boolean",
    late="boolean",
    in_day="boolean",
    open_close="boolean",
    high_low="boolean",
    counts="boolean",
    auction="boolean",
    known="boolean",
)
BARS = _columns(
    venue="string",
    session="date",
    symbol="string",
    resolution="string",
    start_ns="bigint",
    seq="int",
    open="price",
    high="price",
    low="price",
    close="price",
    volume="volume",
    vwap="vwap",
    trades="bigint",
    notional="notional",
    priced_volume="volume",
    first="bigint",
    last="bigint",
    served="boolean",
    profile="string",
    profile_version="int",
)
_SCHEMAS: Mapping[Table, tuple[StructType, tuple[str, ...]]] = {
    # one Kafka partition a file, also when files are compacted: only then does a range of offsets
    # name the files that hold it
    Table.RAW: (RAW, ("date", "partition")),
    Table.TRADES: (TRADES, ("venue", "session")),
    Table.BARS: (BARS, ("venue", "session")),
}


@dataclass(frozen=True, slots=True)
class Lake:
    """The tables under `root`: a local path or any URL that Spark and deltalake take."""

    root: str

    def path(self, table: Table) -> str:
        """Return where a table lies."""
        return table_path(self.root, table)

    def ensure(self, spark: SparkSession, table: Table) -> None:
        """Create a table that is not there yet, empty; safe to repeat."""
        schema, partitions = _SCHEMAS[table]
        empty = spark.createDataFrame([], schema)
        empty.write.format("delta").mode("ignore").partitionBy(*partitions).save(self.path(table))

    def read(self, spark: SparkSession, table: Table, version: int | None = None) -> DataFrame:
        """Read a table, the newest version or an older one; ConfigError when nothing was ever
        written to it.
        """
        if not self.has(spark, table):
            raise ConfigError(f"no table {self.path(table)}; run `truetape archive` first")
        reader = spark.read.format("delta")
        if version is not None:
            reader = reader.option("versionAsOf", version)
        return reader.load(self.path(table))

    def has(self, spark: SparkSession, table: Table) -> bool:
        """Say whether a table exists."""
        jvm = spark._jvm
        log = jvm.org.apache.hadoop.fs.Path(f"{self.path(table)}/_delta_log")
        return bool(log.getFileSystem(spark._jsc.hadoopConfiguration()).exists(log))

    def replace(
        self,
        frame: DataFrame,
        table: Table,
        session: Session,
        symbols: Sequence[str] | None = None,
    ) -> None:
        """Replace one session of `trades` or `bars`, or some symbols of it, atomically; all other
        rows stay.
        """
        schema, partitions = _SCHEMAS[table]
        where = f"venue = '{session.venue}' AND session = DATE'{session.date.isoformat()}'"
        if symbols is not None:
            where += f" AND symbol IN ({', '.join(map(quoted, symbols))})"
        (
            frame.select(*schema.names)
            .write.format("delta")
            .mode("overwrite")
            .option("replaceWhere", where)
            .partitionBy(*partitions)
            .save(self.path(table))
        )
