"""The jars of Spark's connectors and of the Kafka broker, resolved once into the cache.

Ivy comes with pyspark, so nothing but Java is needed. A finished folder is never changed again.
"""

import hashlib
import re
import shutil
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
from truetape.host.settings import Settings

_FINISHED = "FINISHED"
_RESOLVE_WITHIN_S = 900.0
_LOG_LINES = 15


@dataclass(frozen=True, slots=True)
class Coordinate:
    """A Maven module; its runtime dependencies are resolved with it."""

    group: str
    artifact: str
    version: str

    def __str__(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"


SPARK = (
    Coordinate("org.apache.spark", "spark-sql-kafka-0-10_2.13", "4.2.0"),
    Coordinate("io.delta", "delta-spark_4.2_2.13", "4.4.0"),
)
KAFKA = (
    Coordinate("org.apache.kafka", "kafka_2.13", "4.4.0"),
    # the broker logs through slf4j 1.7 and brings no binding; without one its log stays empty
    Coordinate("org.apache.logging.log4j", "log4j-slf4j-impl", "2.25.5"),
)


def _to_stderr(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def spark_jars(cache: Path, report: Report = _to_stderr) -> list[Path]:
    """Return the Kafka and Delta connectors for Spark, without what pyspark ships itself.

    Resolves them on first use (half a minute); safe to call from several processes at once.
    """
    return _jars(cache, SPARK, _shipped_by_pyspark(), report)


def kafka_jars(cache: Path, report: Report = _to_stderr) -> list[Path]:
    """Return the class path of the Kafka broker; resolves it on first use, as `spark_jars` does."""
    return _jars(cache, KAFKA, (), report)


def folder_of(cache: Path, wanted: Iterable[Coordinate]) -> Path:
    """Return the cache folder of these coordinates; another version is another folder."""
    text = "\n".join([*map(str, wanted), f"pyspark {version('pyspark')}"])
    return cache / f"jars-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def without_shipped(found: Iterable[Path], shipped: Iterable[str]) -> list[Path]:
    """Leave out jars whose module is among `shipped` file names in any version.

    `found` are laid out as `<module>/<file>.jar`: a module's name cannot be told from a file name
    alone (`spark-sql-kafka-0-10_2.13-4.2.0.jar`).
    """
    names = list(shipped)

    def is_shipped(jar: Path) -> bool:
        pattern = re.compile(re.escape(jar.parent.name) + r"-\d")
        return any(pattern.match(name) for name in names)

    return sorted(jar for jar in found if not is_shipped(jar))


def _jars(
    cache: Path, wanted: tuple[Coordinate, ...], shipped: Iterable[str], report: Report
) -> list[Path]:
    folder = folder_of(cache, wanted)
    if not (folder / _FINISHED).exists():
        lock = cache / f"{folder.name}.lock"
        with exclusive(lock, wait_s=_RESOLVE_WITHIN_S, report=report):
            if not (folder / _FINISHED).exists():
                _resolve(folder, wanted, shipped, report)
    return sorted(folder.glob("*.jar"))


def _resolve(
    folder: Path, wanted: tuple[Coordinate, ...], shipped: Iterable[str], report: Report
) -> None:
    report(f"resolving {_names(wanted)} (half a minute, once)")
    with tempfile.TemporaryDirectory(prefix=".resolving-", dir=folder.parent) as name:
        work = Path(name)
        _run_ivy(work, wanted)
        finished = work / "finished"
        finished.mkdir()
        for jar in without_shipped((work / "found").glob("*/*.jar"), shipped):
            jar.rename(finished / jar.name)
        (finished / _FINISHED).write_text("".join(f"{coordinate}\n" for coordinate in wanted))
        shutil.rmtree(folder, ignore_errors=True)
        finished.rename(folder)
    report(f"resolved {len(list(folder.glob('*.jar')))} jars into {folder}")


def _run_ivy(work: Path, wanted: tuple[Coordinate, ...]) -> None:
    (work / "settings.xml").write_text(_settings_xml(work / "ivy"))
    (work / "module.xml").write_text(module_xml(wanted))
    command = [str(find_java()), f"-Divy.home={work / 'ivy'}", "-cp", str(_ivy_jar())]
    command += ["org.apache.ivy.Main", "-settings", str(work / "settings.xml")]
    command += ["-ivy", str(work / "module.xml"), "-types", "jar", "bundle", "-warn"]
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
            f"Ivy has not resolved {_names(wanted)} in {_RESOLVE_WITHIN_S:.0f} s; try again"
        ) from None
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-_LOG_LINES:])
        raise TransientError(
            f"Ivy could not resolve {_names(wanted)}; check that Java reaches Maven Central "
            f"(a proxy goes into JAVA_TOOL_OPTIONS), then try again; it said:\n{tail}"
        )


def module_xml(wanted: Iterable[Coordinate]) -> str:
    """Render the Ivy module that depends on `wanted` and, through them, on their runtime needs."""
    dependencies = "\n".join(
        f"    <dependency org={quoteattr(one.group)} name={quoteattr(one.artifact)}"
        f' rev={quoteattr(one.version)} conf="default-&gt;default"/>'
        for one in wanted
    )
    return f"""<ivy-module version="2.0">
  <info organisation="truetape" module="jars"/>
  <configurations><conf name="default"/></configurations>
  <dependencies>
{dependencies}
  </dependencies>
</ivy-module>
"""


def _settings_xml(ivy_cache: Path) -> str:
    # ibiblio without a root is Ivy's own name for Maven Central
    return f"""<ivysettings>
  <settings defaultResolver="central"/>
  <caches defaultCacheDir={quoteattr(str(ivy_cache))}/>
  <resolvers><ibiblio name="central" m2compatible="true"/></resolvers>
</ivysettings>
"""


def _names(wanted: Iterable[Coordinate]) -> str:
    return ", ".join(map(str, wanted))


def _pyspark_jars() -> Path:
    spec = find_spec("pyspark")  # finds the folder without importing pyspark
    if spec is None or spec.origin is None:
        raise ConfigError("pyspark is not installed; run: uv sync --frozen")
    return Path(spec.origin).parent / "jars"


def _shipped_by_pyspark() -> list[str]:
    return [jar.name for jar in _pyspark_jars().glob("*.jar")]


def _ivy_jar() -> Path:
    jars = sorted(_pyspark_jars().glob("ivy-*.jar"))
    if not jars:
        raise ConfigError(f"no ivy jar in {_pyspark_jars()}; reinstall pyspark")
    return jars[-1]


def main() -> None:
    """Resolve everything now, for `make jars`, so that nothing has to wait for it later."""
    cache = Settings.from_env().cache
    for name, found in (("Spark", spark_jars(cache)), ("Kafka", kafka_jars(cache))):
        print(f"{name}: {len(found)} jars in {found[0].parent}")


if __name__ == "__main__":
    main()
