"""The `influxd` program: from PATH, from the cache, or built from its Go module.

Does not run it; `influx_server` does.
"""

import os
import shutil
import signal
import subprocess
from pathlib import Path

from truetape.host.errors import ConfigError, TransientError
from truetape.host.locks import Report, exclusive
from truetape.host.private_home import files_for_others
from truetape.host.process import log_tail
from truetape.host.resources import folder
from truetape.host.settings import Settings

VERSION = "2.9.1"
_BUILD_WITHIN_S = 3_600.0
_ANSWER_WITHIN_S = 30.0
_STOP_WITHIN_S = 10.0


def find(settings: Settings) -> Path | None:
    """Return an InfluxDB 2 `influxd` from PATH, else the one in the cache, else None.

    Skips an `influxd` of InfluxDB 1, which Debian packages under the same name.
    """
    on_path = shutil.which("influxd")
    if on_path is not None and _is_version_2(on_path):
        return Path(on_path)
    built = built_path(settings)
    return built if os.access(built, os.X_OK) else None


def built_path(settings: Settings) -> Path:
    """Return the path of the built `influxd`."""
    return settings.cache / f"influxd-{VERSION}" / "influxd"


@files_for_others()
def build(settings: Settings, report: Report) -> Path:
    """Build `influxd` with deploy/influxd/build.sh (8 to 10 minutes on two cores, once).

    Safe to call from several processes at once. Raise ConfigError with the end of the build's
    output if it fails, for example without Go, a C compiler or Rust.
    """
    target = built_path(settings)
    with exclusive(settings.cache / "influxd.lock", wait_s=_BUILD_WITHIN_S, report=report):
        if not target.exists():
            log = settings.cache / "influxd-build.log"
            report(f"building influxd {VERSION}: 8 to 10 minutes on two cores, once; log: {log}")
            _run_build(target.parent, log)
            report(f"built {target}")
    return target


def _run_build(target: Path, log: Path) -> None:
    script = folder("deploy") / "influxd" / "build.sh"
    with log.open("wb") as output:
        child = subprocess.Popen(  # noqa: S603 - our own script, no shell string
            [str(script), str(target)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        status = child.wait(_BUILD_WITHIN_S)
    except subprocess.TimeoutExpired:
        raise TransientError(f"building influxd took over {_BUILD_WITHIN_S:.0f} s") from None
    finally:
        if child.poll() is None:  # interrupted: terminate the compilers too
            os.killpg(child.pid, signal.SIGTERM)
            child.wait(_STOP_WITHIN_S)
    if status != 0:
        raise ConfigError(f"influxd could not be built (exit {status})\n{log_tail(log)}")


def _is_version_2(program: str) -> bool:
    done = subprocess.run(  # noqa: S603 - fixed arguments, the program found on PATH
        [program, "version"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_ANSWER_WITHIN_S,
        check=False,
    )
    return "InfluxDB v2." in done.stdout


def main() -> None:
    """Find or build influxd now, for `make influxd`."""
    settings = Settings.from_env()
    print(f"influxd: {find(settings) or build(settings, print)}")


if __name__ == "__main__":
    main()
