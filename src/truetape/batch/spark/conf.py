"""Spark's configuration as plain pairs, for sessions and for submitting jobs to a cluster.

Does not import Spark, since DAGs and launchers import this module.
"""

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from truetape.host.private_home import lake_is_private
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
"""Environment variables that Spark itself reads about a cluster."""
_JVM = "-Xss4m -Duser.timezone=UTC"
"""The stack for compiling deep expressions: plans in the driver, code in the executors."""
_PRIVATE_FILES = {"spark.hadoop.fs.permissions.umask-mode": "077"}
"""Hadoop sets the rights of each file itself, whatever the umask of the process is."""
_ON_LOOPBACK = re.compile(r"local|spark://(127\.0\.0\.1|localhost):")


def is_local(master: str) -> bool:
    """True if executors are threads in the driver's JVM."""
    return master.startswith("local")


def executor_python(master: str) -> str:
    """Return the Python of executors: this interpreter, or on a cluster the one of the same version
    on the PATH of its machines.
    """
    major, minor = sys.version_info[:2]
    return sys.executable if is_local(master) else f"python{major}.{minor}"


def placement(
    settings: Settings, jars: Sequence[Path], packages: Sequence[Path], master: str
) -> dict[str, str]:
    """Return the driver's address and memory, its class path, and the Python packages that it ships
    to executors.

    Must be set before the JVM starts, so not in a submitted job.
    """
    # executors on other machines cannot reach a driver on loopback
    loopback = {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    return (
        ({"spark.jars": _joined(jars)} if jars else {})
        | ({"spark.submit.pyFiles": _joined(packages)} if packages else {})
        | (loopback if _ON_LOOPBACK.match(master) else {})
        | (_PRIVATE_FILES if lake_is_private(settings) else {})
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
    """Return the Python of a driver submitted on this machine, and of its executors."""
    return {
        "spark.pyspark.driver.python": sys.executable,
        "spark.pyspark.python": executor_python(master),
    }


def semantics() -> Mapping[str, str]:
    """Return the settings that results and speed of every session depend on, wherever it runs.

    Case-sensitive (feeds have both `t` and `T`), UTC, ANSI arithmetic. A streaming query logs its
    batches in raw local files without `.crc` files, which halves the time of a log commit.
    """
    return {
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.caseSensitive": "true",
        "spark.sql.ansi.enabled": "true",
        # the JVM never compiles longer methods; with this limit Spark splits them
        "spark.sql.codegen.hugeMethodLimit": "8000",
        # the kernel is called once a batch
        "spark.sql.execution.arrow.maxRecordsPerBatch": "50000",
        "spark.sql.execution.arrow.maxBytesPerBatch": "64m",
        "spark.hadoop.fs.AbstractFileSystem.file.impl": "org.apache.hadoop.fs.local.RawLocalFs",
    }


def _joined(files: Sequence[Path]) -> str:
    return ",".join(str(file) for file in files)
