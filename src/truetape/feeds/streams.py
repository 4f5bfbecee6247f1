"""Opened files: their bytes, unpacked by what the files contain, whatever their names.

Decodes no payload. Memory stays bounded: only what cannot be read front to back goes into a
temporary file.
"""

import bz2
import gzip
import io
import re
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePath
from typing import IO, cast

from truetape.feeds import file_kinds
from truetape.feeds.file_kinds import HEAD_BYTES
from truetape.feeds.file_log import FileLog
from truetape.host.errors import ConfigError

STDIN = Path("-")
"""Stands for standard input."""
MAX_DEPTH = 3
"""Most archives inside each other."""
MAX_COPY_BYTES = 4_000_000_000
"""Largest file inside of another that is copied, since it cannot be read front to back: a zip, or
Parquet.
"""
DAMAGES = (OSError, EOFError, ValueError, RuntimeError, zlib.error, zipfile.BadZipFile)
"""What readers of packed files raise for damaged ones, and for packings that they do not know."""
_CHUNK_BYTES = 1_000_000
_ENCRYPTED = 1
"""The bit of a zip's member that is encrypted."""


class Content(StrEnum):
    """What an unpacked file holds."""

    TEXT = "text"
    PARQUET = "Parquet"


@dataclass(frozen=True, slots=True)
class Stream:
    """One unpacked file. `name` is for people; `names` are those that may say symbol and date, the
    member of an archive before the archive.
    """

    name: str
    names: tuple[str, ...]
    content: Content
    file: io.BufferedReader


_GZIP, _BZIP2, _ZSTD, _ZIP = b"\x1f\x8b", b"BZh", b"\x28\xb5\x2f\xfd", b"PK"
_SUFFIX_OF = {_GZIP: ".gz", _BZIP2: ".bz2", _ZSTD: ".zst", _ZIP: ".zip"}
_FORMATS = "CSV, JSON, Parquet, and these in .gz, .bz2, .zst or .zip, are read"

WhyNot = Callable[[Sequence[str]], str | None]
"""Returns why the member of an archive is not read, by its names; None if it is."""


@contextmanager
def opened(path: Path, why_not: WhyNot, log: FileLog) -> Iterator[Iterator[Stream]]:
    """Open a file, or standard input for `STDIN`, and yield its unpacked files, each to be read
    before the next. Raise ConfigError if it is not what its name says, or nothing that is read.

    Of an archive with several files, those that `why_not` has a reason for are logged, not read.
    """
    with _file(path) as file:
        name = "stdin" if path == STDIN else str(path)
        names = () if path == STDIN else (path.absolute().as_posix(),)
        yield _Unpacking(why_not, log).streams(name, name, names, _buffered(file), MAX_DEPTH)


def seekable(stream: Stream) -> IO[bytes]:
    """Return a stream's file in a form that can be read in any order."""
    return _seekable(stream.name, stream.file)


def _file(path: Path) -> IO[bytes]:
    if path == STDIN:
        return cast("IO[bytes]", io.BufferedReader(cast("io.RawIOBase", sys.stdin.buffer)))
    return path.open("rb")


@dataclass(frozen=True, slots=True)
class _Unpacking:
    """Unpacks a file, whatever is inside of it."""

    why_not: WhyNot
    log: FileLog

    def streams(
        self, name: str, promise: str, names: tuple[str, ...], file: io.BufferedReader, depth: int
    ) -> Iterator[Stream]:
        """Yield the files inside of a file. `promise` is its name as far as it is still packed."""
        head = _head(name, file)
        packed = next((magic for magic in _SUFFIX_OF if head.startswith(magic)), None)
        if packed == _ZIP and head[2:4] not in (b"\x03\x04", b"\x05\x06"):
            packed = None
        if head:
            _require_promised(name, promise, packed)
        if packed is None:
            yield Stream(name, names, _content(name, promise, head), file)
        elif depth == 0:
            raise ConfigError(f"{name}: more than {MAX_DEPTH} archives inside each other")
        elif packed == _ZIP:
            yield from self._members(name, names, file, depth)
        else:
            inner = re.sub(rf"(?i){re.escape(_SUFFIX_OF[packed])}\Z", "", promise)
            yield from self.streams(name, inner, names, _decompressed(packed, file), depth - 1)

    def _members(
        self, name: str, names: tuple[str, ...], file: io.BufferedReader, depth: int
    ) -> Iterator[Stream]:
        """Yield the files of a zip in its order, without what computers add by themselves."""
        with _archive(name, _seekable(name, file)) as archive:
            members = [item for item in archive.infolist() if _is_data(item)]
            kind = file_kinds.office({item.filename for item in members})
            if kind is not None:
                raise ConfigError(f"{name}: is {kind}; {_FORMATS}")
            if not members:
                raise ConfigError(f"{name}: the zip file is empty")
            for item in self._wanted(name, names, members):
                inner = f"{name}!{item.filename}"
                with _member(archive, item, inner) as member:
                    inner_names = (item.filename, *names)
                    yield from self.streams(inner, inner, inner_names, _buffered(member), depth - 1)

    def _wanted(
        self, name: str, names: tuple[str, ...], members: list[zipfile.ZipInfo]
    ) -> list[zipfile.ZipInfo]:
        if len(members) == 1:
            return members
        wanted = []
        skipped = FileLog()
        for item in members:
            reason = self.why_not((item.filename, *names))
            if reason is None:
                wanted.append(item)
            else:
                skipped.skip(f"{name}!{item.filename}", reason)
        if not wanted:
            raise ConfigError(f"{name}: has no trade file; {'; '.join(skipped.lines())}")
        self.log.add(skipped)
        return wanted


def _head(name: str, file: io.BufferedReader) -> bytes:
    """Return the first bytes of a file, which stay in it."""
    try:
        return file.peek(HEAD_BYTES)[:HEAD_BYTES]
    except DAMAGES as error:
        raise ConfigError(f"{name}: cannot be read ({error})") from error


def _archive(name: str, file: IO[bytes]) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except DAMAGES as error:
        raise ConfigError(f"{name}: cannot be read ({error})") from error


def _member(archive: zipfile.ZipFile, item: zipfile.ZipInfo, name: str) -> IO[bytes]:
    if item.flag_bits & _ENCRYPTED:
        raise ConfigError(f"{name}: is encrypted; unpack it with its password first")
    try:
        return archive.open(item)
    except DAMAGES as error:
        raise ConfigError(f"{name}: cannot be read ({error}); unpack it first") from error


def _is_data(item: zipfile.ZipInfo) -> bool:
    parts = [part for part in PurePath(item.filename).parts if part != ".."]
    return not item.is_dir() and not any(part.startswith((".", "__MACOSX")) for part in parts)


def _decompressed(magic: bytes, file: io.BufferedReader) -> io.BufferedReader:
    match magic:
        case _ if magic == _GZIP:
            return _buffered(gzip.open(file))
        case _ if magic == _BZIP2:
            return _buffered(bz2.open(file))
        case _:
            import pyarrow as pa

            return _buffered(pa.CompressedInputStream(pa.PythonFile(file, "r"), "zstd"))


def _buffered(file: object) -> io.BufferedReader:
    return io.BufferedReader(cast("io.RawIOBase", file))


def _seekable(name: str, file: io.BufferedReader) -> IO[bytes]:
    """Return a file itself if it is one of the disk, else a copy: unpacking again at each step back
    would take the square of its size.
    """
    plain: object = file
    while isinstance(plain, io.BufferedReader):
        plain = plain.raw
    if isinstance(plain, io.FileIO) and plain.seekable():
        return file
    copy = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the stream that reads it
    while chunk := file.read(_CHUNK_BYTES):
        copy.write(chunk)
        if copy.tell() > MAX_COPY_BYTES:
            raise ConfigError(f"{name}: has over {MAX_COPY_BYTES:,} bytes; unpack it first")
    copy.seek(0)
    return cast("IO[bytes]", copy)


def _require_promised(name: str, promise: str, packed: bytes | None) -> None:
    """Raise ConfigError if a name promises a packing that the file does not have."""
    suffix = PurePath(promise).suffix.lower()
    promised = next((magic for magic, of in _SUFFIX_OF.items() if of == suffix), None)
    if promised is not None and promised != packed:
        raise ConfigError(
            f"{name}: is not packed as its name says; if it was unpacked meanwhile, rename it"
        )


def _content(name: str, promise: str, head: bytes) -> Content:
    """Return what a file holds by its beginning. Raise ConfigError if that is not read."""
    if head.startswith(b"PAR1"):
        return Content.PARQUET
    kind = file_kinds.unreadable(head)
    if kind is not None:
        raise ConfigError(f"{name}: is {kind}; {_FORMATS}")
    if PurePath(promise).suffix.lower() == ".parquet":
        raise ConfigError(f"{name}: is not Parquet as its name says")
    return Content.TEXT
