"""The Spark session: the one place that decides how Spark is started. Knows nothing of trades."""

from pathlib import Path

from pyspark.sql import SparkSession

from truetape.settings import Settings


def spark_session(app: str, settings: Settings, jars: list[Path]) -> SparkSession:
    """Start or return this process's Spark session, with Delta and Kafka from `jars` where there
    are any.

    The session is case-sensitive (feeds have both `t` and `T`), in UTC, with ANSI arithmetic, and
    its checkpoints go through raw local files: no `.crc` twins, which halves the time of a log
    commit.
    """
    builder = SparkSession.builder.master(settings.spark_master).appName(app)
    for key, value in _conf(settings, jars).items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session


def _conf(settings: Settings, jars: list[Path]) -> dict[str, str]:
    connectors = {
        "spark.jars": ",".join(str(jar) for jar in jars),
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    }
    return (connectors if jars else {}) | {
        "spark.driver.memory": settings.spark_driver_memory,
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.extraJavaOptions": "-Xss4m -Duser.timezone=UTC",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.caseSensitive": "true",
        "spark.sql.ansi.enabled": "true",
        # else a fault inside a list is passed over, and a broken payload becomes a trade
        "spark.sql.json.enablePartialResults": "false",
        # the JVM never compiles a longer method; Spark then splits the work into shorter ones
        "spark.sql.codegen.hugeMethodLimit": "8000",
        "spark.sql.shuffle.partitions": "4",
        # Delta's 50 tasks a read of its log cost a second each time where two cores do them
        "spark.databricks.delta.snapshotPartitions": "2",
        "spark.hadoop.fs.AbstractFileSystem.file.impl": "org.apache.hadoop.fs.local.RawLocalFs",
        "spark.sql.streaming.stateStore.providerClass": (
            "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider"
        ),
        "spark.sql.streaming.stateStore.rocksdb.changelogCheckpointing.enabled": "true",
    }
