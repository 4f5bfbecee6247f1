"""Find the Java runtime for Spark, Ivy and Kafka, and check its version. Installs nothing."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from truetape.host.errors import ConfigError

LEAST_JAVA = 17
_INSTALL = "install one with: apt-get install openjdk-17-jre-headless"
_ANSWER_WITHIN_S = 30.0


def find_java() -> Path:
    """Return the `java` of JAVA_HOME, else of PATH: the one that Spark starts too.

    Raise ConfigError with the command that installs one if it is missing or older than Java 17.
    """
    home = os.environ.get("JAVA_HOME")  # without our prefix: every Java program reads it
    java = shutil.which("java", path=f"{home}/bin") if home else shutil.which("java")
    if java is None:
        where = f"JAVA_HOME ({home})" if home else "PATH"
        raise ConfigError(f"no java in {where}; truetape needs Java {LEAST_JAVA}; {_INSTALL}")
    version = java_version(_version_text(java))
    if version is None or version < LEAST_JAVA:
        raise ConfigError(f"{java} is Java {version}; truetape needs {LEAST_JAVA}; {_INSTALL}")
    return Path(java)


def java_version(text: str) -> int | None:
    """Return the feature release from the output of `java -version`; Java 8 prints 1.8."""
    match = re.search(r'version "(?:1\.)?(\d+)', text)
    return int(match[1]) if match else None


def _version_text(java: str) -> str:
    done = subprocess.run(  # noqa: S603 - fixed arguments, the program found on PATH
        [java, "-version"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_ANSWER_WITHIN_S,
        check=False,
    )
    return done.stderr + done.stdout
