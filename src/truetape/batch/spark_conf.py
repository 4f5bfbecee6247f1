"""How Spark is configured, as plain pairs: read by sessions, and by what submits jobs to a cluster.

Imports no Spark, since DAGs and launchers ask here.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from truetape.settings import Settings


def placement(settings: Settings, jars: Sequence[Path], master: str) -> dict[str, str]:
    """Return where and how large the driver is and what is on its class path.

    It must be known before the JVM starts: in a job that was submitted it is too late.
    """
    connectors = {
        "spark.jars": ",".join(str(jar) for jar in jars),
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    }
    # executors elsewhere could not call a driver on loopback back
    loopback = {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    return (
        (connectors if jars else {})
        | (loopback if master.startswith("local") else {})
        | {
            "spark.driver.memory": settings.spark_driver_memory,
            "spark.driver.extraJavaOptions": "-Xss4m -Duser.timezone=UTC",
            "spark.log.level": "WARN",
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
        }
    )


def semantics() -> Mapping[str, str]:
    """Return what results and speed of every session rest on, wherever it runs.

    Case-sensitive (feeds have both `t` and `T`), in UTC, with ANSI arithmetic; checkpoints go
    through raw local files: no `.crc` twins, which halves the time of a log commit.
    """
    return {
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
        # a look-up for every row that is put, only to know how many there are
        "spark.sql.streaming.stateStore.rocksdb.trackTotalNumberOfRows": "false",
    }
