"""Opened files: their bytes, unpacked by what the files contain, whatever their names.

Decodes no payload. Memory stays bounded: only what cannot be read front to back goes into a
temporary file.
"""

import bz2
import gzip
import io
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePath
from typing import IO, cast

from truetape.host.errors import ConfigError

STDIN = Path("-")
"""Stands for standard input."""
MAX_DEPTH = 3
"""Most archives inside each other."""
_HEAD_BYTES = 1_024


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
_UNREADABLE = {
    b"\xfd7zXZ\x00": "xz; unpack it first",
    b"7z\xbc\xaf\x27\x1c": "a 7-Zip archive; unpack it first",
    b"Rar!\x1a": "a RAR archive; unpack it first",
    b"\x04\x22\x4d\x18": "LZ4; unpack it first",
    b"ARROW1\x00": "Arrow IPC (Feather); write it as Parquet",
    b"ORC\x0a": "ORC; write it as Parquet",
    b"Obj\x01": "Avro; write it as Parquet",
    b"\x89HDF": "HDF5; write it as Parquet",
    b"SQLite format 3\x00": "an SQLite database; export its table as CSV",
    b"DBN": "Databento's binary DBN; write it as CSV",
    b"\xd0\xcf\x11\xe0": "an Excel workbook; save the sheet as CSV",
    b"\x80\x04": "a Python pickle; write it as Parquet",
    b"\x80\x05": "a Python pickle; write it as Parquet",
    b"\xff\xfe": "UTF-16 text; save it as UTF-8",
    b"\xfe\xff": "UTF-16 text; save it as UTF-8",
    b"%PDF": "a PDF",
}
"""Files of these beginnings are named in the error."""
_FORMATS = "CSV, JSON, Parquet, and these in .gz, .bz2, .zst or .zip, are read"


@contextmanager
def opened(path: Path) -> Iterator[Iterator[Stream]]:
    """Open a file, or standard input for `STDIN`, and yield its unpacked files, each to be read
    before the next. Raise ConfigError if it is not what its name says, or nothing that is read.
    """
    with _file(path) as file:
        name = "stdin" if path == STDIN else str(path)
        names = () if path == STDIN else (path.absolute().as_posix(),)
        yield _unpacked(name, name, names, _buffered(file), MAX_DEPTH)


def seekable(stream: Stream) -> IO[bytes]:
    """Return a stream's file in a form that can be read in any order."""
    return _seekable(stream.file)


def _file(path: Path) -> IO[bytes]:
    if path == STDIN:
        return cast("IO[bytes]", io.BufferedReader(cast("io.RawIOBase", sys.stdin.buffer)))
    return path.open("rb")


def _unpacked(
    name: str, promise: str, names: tuple[str, ...], file: io.BufferedReader, depth: int
) -> Iterator[Stream]:
    """Yield the files inside of a file. `promise` is its name as far as it is still packed."""
    head = file.peek(_HEAD_BYTES)[:_HEAD_BYTES]
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
        yield from _members(name, names, file, depth)
    else:
        inner = promise.removesuffix(_SUFFIX_OF[packed])
        yield from _unpacked(name, inner, names, _decompressed(packed, file), depth - 1)


def _members(
    name: str, names: tuple[str, ...], file: io.BufferedReader, depth: int
) -> Iterator[Stream]:
    """Yield the files of a zip in its order, without what computers add by themselves."""
    with zipfile.ZipFile(_seekable(file)) as archive:
        members = [item for item in archive.infolist() if _is_data(item)]
        if any(item.filename == "[Content_Types].xml" for item in members):
            raise ConfigError(f"{name}: is an Excel workbook or the like; save it as CSV")
        if not members:
            raise ConfigError(f"{name}: the zip file is empty")
        for item in members:
            with archive.open(item) as member:
                inner = f"{name}!{item.filename}"
                buffered = _buffered(member)
                yield from _unpacked(inner, inner, (item.filename, *names), buffered, depth - 1)


def _is_data(item: zipfile.ZipInfo) -> bool:
    parts = PurePath(item.filename).parts
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


def _seekable(file: io.BufferedReader) -> IO[bytes]:
    if file.seekable():
        return file
    copy = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the stream that reads it
    shutil.copyfileobj(file, copy)
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
    kind = next((kind for magic, kind in _UNREADABLE.items() if head.startswith(magic)), None)
    if kind is not None and _is_binary(head):
        raise ConfigError(f"{name}: is {kind}; {_FORMATS}")
    if head[257:262] == b"ustar":
        raise ConfigError(f"{name}: is a tar archive; unpack it first; {_FORMATS}")
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        raise ConfigError(f"{name}: is HTML or XML, perhaps an error page; {_FORMATS}")
    if b"\x00" in head:
        raise ConfigError(f"{name}: is a binary file of an unknown kind; {_FORMATS}")
    if PurePath(promise).suffix.lower() == ".parquet":
        raise ConfigError(f"{name}: is not Parquet as its name says")
    return Content.TEXT


def _is_binary(head: bytes) -> bool:
    return any((byte < 0x20 and byte not in b"\t\r\n") or byte == 0xFF for byte in head)
