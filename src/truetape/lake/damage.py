"""Damage of a table in the lake: files that are missing, cut or empty, and commits that are gone.

Reads the names and sizes of a table's log, never its contents; repairs nothing. A reader stops at
damage: Delta's readers skip an empty commit as if it had never been made.
"""

import os
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

from truetape.host.errors import ConfigError, TruetapeError
from truetape.host.storage import storage_error
from truetape.lake.tables import Table, table_path

_COMMIT = re.compile(r"(\d{20})\.json")
_CHECKPOINT = re.compile(r"(\d{20})\.checkpoint\..*parquet")
_PARTITION = re.compile(r"venue=([A-Z0-9]+)/session=(\d{4}-\d{2}-\d{2})")
_BY_RECOMPUTE = frozenset({Table.TRADES, Table.BARS})
_MAX_DETAIL = 300


def damaged(lake: str, table: Table, detail: str) -> ConfigError:
    """Return the error for a damaged table. The message names the command that mends it, if one
    command does.
    """
    session = _PARTITION.search(detail) if table in _BY_RECOMPUTE else None
    advice = 'see "A damaged table of the lake" in docs/RUNBOOK.md'
    if session is not None:
        command = f"`truetape recompute --venue {session[1]} --session {session[2]}`"
        advice = f"{command} writes this session anew; {advice}"
    return ConfigError(f"{table_path(lake, table)} is damaged: {_line(detail)}; {advice}")


def table_error(lake: str, table: Table, error: BaseException) -> TruetapeError:
    """Return the error for what a library raised while it read or wrote a table's files."""
    refused = storage_error(error, table_path(lake, table))
    return damaged(lake, table, str(error)) if refused is None else refused


def require_sound_log(lake: str, table: Table) -> None:
    """Raise ConfigError if a commit in the log of a local table is empty or missing. Does nothing
    for a table that does not exist.

    An interrupted writer leaves no empty commit: Delta writes it under another name first. It may
    leave data files without a log, except in `raw`, which is created empty; so only there a log
    that is gone is damage.
    """
    folder = Path(table_path(lake, table))
    try:
        with os.scandir(folder / "_delta_log") as entries:
            files = {entry.name: entry.stat().st_size for entry in entries}
    except FileNotFoundError:
        files = {}
    except OSError as error:
        raise table_error(lake, table, error) from error
    commits = sorted(name for name in files if _COMMIT.fullmatch(name))
    empty = next((name for name in commits if not files[name]), None)
    if empty is not None:
        commit = folder / "_delta_log" / empty
        raise damaged(lake, table, f"the commit {commit} is empty, so what it changed is lost")
    missing = _missing_commit(commits, files)
    if missing is not None:
        commit = folder / "_delta_log" / f"{missing:020}.json"
        raise damaged(lake, table, f"the commit {commit} is missing, so what it changed is lost")
    if table is Table.RAW and not commits and any(folder.rglob("*.parquet")):
        raise damaged(lake, table, f"it has data files and no log in {folder / '_delta_log'}")


def _missing_commit(commits: Sequence[str], files: Iterable[str]) -> int | None:
    """Return the first commit that is missing between two others, or after the checkpoint.

    Delta deletes old commits from the first one on, once a checkpoint stands for them.
    """
    if not commits:
        return None
    numbers = [int(name[:20]) for name in commits]
    for before, after in pairwise(numbers):
        if after != before + 1:
            return before + 1
    checkpoints = [int(match[1]) for name in files if (match := _CHECKPOINT.fullmatch(name))]
    first = numbers[0]
    return None if first == 0 or max(checkpoints, default=-1) >= first - 1 else first - 1


def is_local(lake: str) -> bool:
    """True if a lake is a folder of this machine, not a URL."""
    return "://" not in lake


def _line(detail: str) -> str:
    """Return the text of a library as one short line, without colours and gaps in it."""
    plain = re.sub(r"\x1b\[[0-9;]*m|↳|\d+: <unknown>", " ", detail)
    return " ".join(plain.split())[:_MAX_DETAIL].rstrip(" .:")
