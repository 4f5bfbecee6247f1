"""The jars of Spark's connectors and of the Kafka broker, resolved once into the cache.

Never changes a finished folder, and gives Spark no second copy of a jar that pyspark ships. Ivy
comes with pyspark, so only Java is needed. `spark.jars.packages` is not used: it resolves at every
start of a session, puts second versions of Jackson, Log4j, Hadoop and Parquet on the class path,
and leaves out scala-library, which the broker needs.
"""

import hashlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from xml.sax.saxutils import quoteattr

from truetape.host.errors import ConfigError, TransientError
from truetape.host.java import find_java
from truetape.host.locks import Report, exclusive
from truetape.host.private_home import files_for_others
from truetape.host.settings import Settings

_RESOLVE_WITHIN_S = 900.0
_LOG_LINES = 15


@dataclass(frozen=True, slots=True)
class Coordinate:
    """A Maven module; Ivy resolves its runtime dependencies with it."""

    group: str
    artifact: str
    version: str

    def __str__(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"


SPARK = (Coordinate("org.apache.spark", "spark-sql-kafka-0-10_2.13", "4.2.0"),)
KAFKA = (
    Coordinate("org.apache.kafka", "kafka_2.13", "4.4.0"),
    # the broker logs through slf4j 1.7 and brings no binding; without one its log stays empty
    Coordinate("org.apache.logging.log4j", "log4j-slf4j-impl", "2.25.5"),
)


def _to_stderr(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def spark_jars(cache: Path, report: Report = _to_stderr) -> list[Path]:
    """Return the Kafka connector for Spark, without the jars that pyspark ships.

    Resolves them on first use (half a minute); safe to call from several processes at once.
    """
    return _jars(cache, SPARK, [jar.name for jar in _pyspark_jars().glob("*.jar")], report)


def kafka_jars(cache: Path, report: Report = _to_stderr) -> list[Path]:
    """Return the class path of the Kafka broker; resolves it on first use, as `spark_jars` does."""
    return _jars(cache, KAFKA, (), report)


def folder_of(cache: Path, coordinates: Iterable[Coordinate]) -> Path:
    """Return the cache folder of these coordinates; another version is another folder."""
    text = "\n".join([*map(str, coordinates), f"pyspark {version('pyspark')}"])
    return cache / f"jars-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def without_shipped(jars: Iterable[Path], shipped: Iterable[str]) -> list[Path]:
    """Leave out jars whose module is among the `shipped` file names, in any version.

    `jars` are laid out as `<module>/<file>.jar`: the file name alone does not give the module
    (`spark-sql-kafka-0-10_2.13-4.2.0.jar`).
    """
    names = list(shipped)

    def is_shipped(jar: Path) -> bool:
        pattern = re.compile(re.escape(jar.parent.name) + r"-\d")
        return any(pattern.match(name) for name in names)

    return sorted(jar for jar in jars if not is_shipped(jar))


@files_for_others()
def _jars(
    cache: Path, coordinates: tuple[Coordinate, ...], shipped: Iterable[str], report: Report
) -> list[Path]:
    folder = folder_of(cache, coordinates)
    if not folder.exists():
        lock = cache / f"{folder.name}.lock"
        with exclusive(lock, wait_s=_RESOLVE_WITHIN_S, report=report):
            if not folder.exists():
                _resolve(folder, coordinates, shipped, report)
    return sorted(folder.glob("*.jar"))


def _resolve(
    folder: Path, coordinates: tuple[Coordinate, ...], shipped: Iterable[str], report: Report
) -> None:
    report(f"resolving {_names(coordinates)} (half a minute, once)")
    with tempfile.TemporaryDirectory(prefix=".resolving-", dir=folder.parent) as name:
        work, finished = Path(name), Path(name, "finished")
        _run_ivy(work, coordinates)
        finished.mkdir()
        for jar in without_shipped((work / "found").glob("*/*.jar"), shipped):
            jar.rename(finished / jar.name)
        finished.rename(folder)  # at once: a folder that exists is whole
    report(f"resolved {len(list(folder.glob('*.jar')))} jars into {folder}")


def _run_ivy(work: Path, coordinates: tuple[Coordinate, ...]) -> None:
    (work / "module.xml").write_text(module_xml(coordinates))
    # Ivy's own settings are right: Maven Central, and the runtime dependencies of `default`
    command = [str(find_java()), f"-Divy.home={work / 'ivy'}", "-cp", str(_ivy_jar())]
    command += ["org.apache.ivy.Main", "-ivy", str(work / "module.xml"), "-cache", f"{work}/cache"]
    command += ["-types", "jar", "bundle", "-warn"]
    command += ["-retrieve", f"{work}/found/[artifact]/[artifact]-[revision](-[classifier]).[ext]"]
    try:
        done = subprocess.run(  # noqa: S603 - argument list, no shell, nothing from outside
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_RESOLVE_WITHIN_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TransientError(
            f"Ivy has not resolved {_names(coordinates)} in {_RESOLVE_WITHIN_S:.0f} s; try again"
        ) from None
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-_LOG_LINES:])
        raise TransientError(
            f"Ivy could not resolve {_names(coordinates)}; check that Java reaches Maven Central "
            f"(a proxy goes into JAVA_TOOL_OPTIONS), then try again; the end of its output:\n{tail}"
        )


def module_xml(coordinates: Iterable[Coordinate]) -> str:
    """Render the Ivy module that depends on `coordinates` and on their runtime dependencies."""
    dependencies = "\n".join(
        f"    <dependency org={quoteattr(coordinate.group)} name={quoteattr(coordinate.artifact)}"
        f' rev={quoteattr(coordinate.version)} conf="default-&gt;default"/>'
        for coordinate in coordinates
    )
    return f"""<ivy-module version="2.0">
  <info organisation="truetape" module="jars"/>
  <configurations><conf name="default"/></configurations>
  <dependencies>
{dependencies}
  </dependencies>
</ivy-module>
"""


def _names(coordinates: Iterable[Coordinate]) -> str:
    return ", ".join(map(str, coordinates))


def _pyspark_jars() -> Path:
    spec = find_spec("pyspark")  # gives the folder without importing pyspark
    if spec is None or spec.origin is None:
        raise ConfigError("pyspark is not installed; run: uv sync --frozen")
    return Path(spec.origin).parent / "jars"


def _ivy_jar() -> Path:
    jars = sorted(_pyspark_jars().glob("ivy-*.jar"))
    if not jars:
        raise ConfigError(f"no ivy jar in {_pyspark_jars()}; reinstall pyspark")
    return jars[-1]


def main() -> None:
    """Resolve everything now, for `make jars`, so that no later start has to wait."""
    cache = Settings.from_env().cache
    for name, jars in (("Spark", spark_jars(cache)), ("Kafka", kafka_jars(cache))):
        print(f"{name}: {len(jars)} jars in {jars[0].parent}")


if __name__ == "__main__":
    main()
