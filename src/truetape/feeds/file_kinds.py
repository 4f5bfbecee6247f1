"""File kinds: what a file is that no feed can have, by its first bytes. Reads no file."""

import re

HEAD_BYTES = 1_024
"""How many of the first bytes tell a kind."""
_AS_CSV = "save its table as CSV"
_AS_PARQUET = "write it as Parquet"
_UNPACK = "unpack it first"
_PICTURE = "a picture"
_KINDS = (
    (b"\xfd7zXZ\x00", "xz", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (b"\x04\x22\x4d\x18", "LZ4", _UNPACK),
    (b"\x02\x21\x4c\x18", "LZ4", _UNPACK),
    (b"LZIP\x01", "lzip", _UNPACK),
    (b"\x1f\x9d", "compress (.Z)", _UNPACK),
    (b"]\x00\x00", "LZMA", _UNPACK),
    (b"\xff\x06\x00\x00sNaPpY", "Snappy", _UNPACK),
    (b"PK\x07\x08", "a part of a split zip file", "join the parts and unpack them first"),
    (b"MSCF\x00", "a cabinet archive", _UNPACK),
    (b"ARROW1\x00\x00", "Arrow IPC (Feather)", _AS_PARQUET),
    (b"\xff\xff\xff\xff", "a stream of Arrow IPC", _AS_PARQUET),
    (b"FEA1", "Feather", _AS_PARQUET),
    (b"PARE", "encrypted Parquet", "decrypt it first"),
    (b"ORC\x08", "ORC", _AS_PARQUET),
    (b"ORC\x0a", "ORC", _AS_PARQUET),
    (b"Obj\x01", "Avro", _AS_PARQUET),
    (b"\x89HDF", "HDF5", _AS_PARQUET),
    (b"CDF\x01", "netCDF", _AS_PARQUET),
    (b"CDF\x02", "netCDF", _AS_PARQUET),
    (b"\x93NUMPY", "a NumPy array", _AS_PARQUET),
    (b"MATLAB 5.0 MAT-file", "a MATLAB file", _AS_CSV),
    (b"RDX2\n", "an R workspace", _AS_CSV),
    (b"RDX3\n", "an R workspace", _AS_CSV),
    (b"X\n\x00", "an R object (.rds)", _AS_CSV),
    (b"<stata_dta>", "a Stata file", _AS_CSV),
    (b"$FL2@(#)", "an SPSS file", _AS_CSV),
    (b"\x00" * 12 + b"\xc2\xea\x81\x60", "a SAS table", _AS_CSV),
    (b"SQLite format 3\x00", "an SQLite database", _AS_CSV),
    (b"\x00\x01\x00\x00Standard ", "an Access database", _AS_CSV),
    (b"PGDMP", "a dump of PostgreSQL", _AS_CSV),
    (b"DBN\x01", "Databento's binary DBN", "write it as CSV"),
    (b"DBN\x02", "Databento's binary DBN", "write it as CSV"),
    (b"DBN\x03", "Databento's binary DBN", "write it as CSV"),
    (b"kxzipped", "a table of kdb+", _AS_CSV),
    (b"\xfe\x20\x00", "a table of kdb+", _AS_CSV),
    (b"\xff\x01\x00", "a table of kdb+", _AS_CSV),
    (b"\xd4\xc3\xb2\xa1", "a capture of network packets", "decode them first"),
    (b"\xa1\xb2\xc3\xd4", "a capture of network packets", "decode them first"),
    (b"\x4d\x3c\xb2\xa1", "a capture of network packets", "decode them first"),
    (b"\x0a\x0d\x0d\x0a", "a capture of network packets", "decode them first"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel workbook or the like", _AS_CSV),
    (b"{\\rtf", "an RTF document", _AS_CSV),
    (b"%PDF-", "a PDF", _AS_CSV),
    (b"\x89PNG\r\n", _PICTURE, ""),
    (b"\xff\xd8\xff", _PICTURE, ""),
    (b"GIF87a", _PICTURE, ""),
    (b"GIF89a", _PICTURE, ""),
    (b"\x7fELF", "a program", ""),
    (b"\xff\xfe\x00\x00", "UTF-32 text", "save it as UTF-8"),
    (b"\x00\x00\xfe\xff", "UTF-32 text", "save it as UTF-8"),
    (b"\xff\xfe", "UTF-16 text", "save it as UTF-8"),
    (b"\xfe\xff", "UTF-16 text", "save it as UTF-8"),
)  # fmt: skip
"""The first bytes of a kind, its name, and what to do with it; of several that fit, the first
counts. Words such as PARE may be a symbol at the beginning of a text, so they need a NUL byte after
them.
"""
_NO_SYMBOLS = (b"%PDF-", b"{\\rtf", b"<stata_dta>")
_WORD = re.compile(rb"[\n -~]+")
_PATTERNS = {
    rb"\x80[\x02-\x05][^ -~]": f"a Python pickle; {_AS_PARQUET}",
    rb"(?s).{8}DUCK": f"a DuckDB database; {_AS_CSV}",
    rb"(?s).{257}ustar": f"a tar archive; {_UNPACK}",
    rb"(?:\xef\xbb\xbf)?[ \t\r\n]*<": "HTML or XML, perhaps an error page",
    rb"(?:[\t\n\r -~]\x00\x00\x00){2,}": "UTF-32 text; save it as UTF-8",
    rb"(?:\x00\x00\x00[\t\n\r -~]){2,}": "UTF-32 text; save it as UTF-8",
    rb"(?:[\t\n\r -~]\x00){4,}": "UTF-16 text; save it as UTF-8",
    rb"(?:\x00[\t\n\r -~]){4,}": "UTF-16 text; save it as UTF-8",
}
"""What the first bytes of further kinds match. The texts of two and of four bytes a character have
no mark of their order.
"""


def unreadable(head: bytes) -> str | None:
    """Return what a file is, and what to do with it, by its first bytes; None if it may be text."""
    for magic, kind, advice in _KINDS:
        if head.startswith(magic) and (b"\x00" in head or _is_sure(magic)):
            return f"{kind}; {advice}" if advice else kind
    for pattern, kind in _PATTERNS.items():
        if re.match(pattern, head):
            return kind
    return "a binary file of an unknown kind" if b"\x00" in head else None


def _is_sure(magic: bytes) -> bool:
    return magic in _NO_SYMBOLS or _WORD.fullmatch(magic) is None


def office(members: set[str]) -> str | None:
    """Return what a zip with files of these names is; None if it is a plain archive."""
    if "[Content_Types].xml" in members:
        kind = "an Excel workbook" if any(name.startswith("xl/") for name in members) else ""
        return f"{kind or 'an Office document'}; {_AS_CSV}"
    if {"mimetype", "META-INF/manifest.xml"} <= members:
        return f"an OpenDocument file; {_AS_CSV}"
    if any(name.endswith(".iwa") for name in members):
        return f"an Apple Numbers file; {_AS_CSV}"
    return None
