"""How Spark is configured, as plain pairs: read by sessions, and by what submits jobs to a cluster.

Imports no Spark, since DAGs and launchers ask here.
"""

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from truetape.host.settings import Settings

READ_BY_SPARK = (
    "JAVA_HOME",
    "SPARK_CONF_DIR",
    "SPARK_LOCAL_DIRS",
    "SPARK_LOCAL_IP",
    "HADOOP_CONF_DIR",
    "YARN_CONF_DIR",
    "KUBECONFIG",
)
"""The variables by which an operator tells Spark itself about a cluster."""
_JVM = "-Xss4m -Duser.timezone=UTC"
"""Deep expressions are compiled where they run: plans in the driver, code in the executors."""
_ON_LOOPBACK = re.compile(r"local|spark://(127\.0\.0\.1|localhost):")


def is_local(master: str) -> bool:
    """Say whether executors are threads of the driver's own JVM."""
    return master.startswith("local")


def executor_python(master: str) -> str:
    """Return the Python of executors: this very one, or on a cluster the one of the same version
    that its machines have on their PATH.
    """
    major, minor = sys.version_info[:2]
    return sys.executable if is_local(master) else f"python{major}.{minor}"


def placement(
    settings: Settings, jars: Sequence[Path], packages: Sequence[Path], master: str
) -> dict[str, str]:
    """Return where and how large the driver is, what is on its class path, and which Python
    packages it ships to its executors.

    It must be known before the JVM starts: in a job that was submitted it is too late.
    """
    connectors = {
        "spark.jars": _joined(jars),
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    }
    # executors elsewhere could not call a driver on loopback back
    loopback = {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    return (
        (connectors if jars else {})
        | ({"spark.submit.pyFiles": _joined(packages)} if packages else {})
        | (loopback if _ON_LOOPBACK.match(master) else {})
        | {
            "spark.driver.memory": settings.spark_driver_memory,
            "spark.driver.extraJavaOptions": _JVM,
            "spark.executor.extraJavaOptions": _JVM,
            "spark.log.level": "WARN",
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
        }
    )


def interpreters(master: str) -> dict[str, str]:
    """Return which Python runs a driver that is submitted on this machine, and its executors."""
    return {
        "spark.pyspark.driver.python": sys.executable,
        "spark.pyspark.python": executor_python(master),
    }


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


def _joined(files: Sequence[Path]) -> str:
    return ",".join(str(file) for file in files)
