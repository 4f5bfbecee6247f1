"""A file system of a few megabytes that a test can fill, set read-only, and give room again."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

_BLOCK = 65_536


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """A mounted tmpfs."""

    path: Path

    @property
    def _ballast(self) -> Path:
        return self.path / "ballast"

    def fill(self, leave_bytes: int = 0) -> None:
        """Fill it to the last byte but `leave_bytes`."""
        handle = os.open(self._ballast, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            while os.write(handle, b"x" * _BLOCK):
                pass
        except OSError:
            pass
        finally:
            os.close(handle)
        if leave_bytes:
            os.truncate(self._ballast, max(0, self._ballast.stat().st_size - leave_bytes))

    def make_room(self) -> None:
        """Remove what `fill` wrote."""
        self._ballast.unlink(missing_ok=True)

    def remount(self, *, writable: bool) -> None:
        """Make it read-only or writable."""
        _mount("-o", f"remount,{'rw' if writable else 'ro'}", str(self.path))


@contextmanager
def small_disk(path: Path, megabytes: int) -> Iterator[SmallDisk]:
    """Mount a file system of this size on a new folder; needs root. Unmounted at the end."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    path.mkdir(parents=True)
    _mount("-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(path))
    try:
        yield SmallDisk(path)
    finally:
        # lazily: a killed process may still have a file open
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)
