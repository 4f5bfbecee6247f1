"""Print files and lines of each room of `src` and of each folder of `tests`, at git revisions.

python benchmarks/rooms.py ab4079b HEAD
"""

import argparse
import subprocess
from collections import Counter
from pathlib import Path

from results import Table, add_json, show, whole

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("src/truetape", "tests")


def git(*arguments: str) -> str:
    """Return the output of a git command."""
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def room_of(path: str) -> str:
    """Return `src/NAME` or `tests/NAME`; NAME is `-` for files outside of a folder."""
    top = "src" if path.startswith("src/") else "tests"
    folder, slash, _ = path.removeprefix("src/truetape/").removeprefix("tests/").partition("/")
    return f"{top}/{folder if slash else '-'}"


def count(revision: str) -> dict[str, tuple[int, int]]:
    """Return (files, lines) of the Python files of each room."""
    files: Counter[str] = Counter()
    lines: Counter[str] = Counter()
    for line in git("grep", "-c", "", revision, "--", *FOLDERS).splitlines():
        _, path, number = line.split(":")
        if path.endswith(".py"):
            files[room_of(path)] += 1
            lines[room_of(path)] += int(number)
    return {room: (files[room], lines[room]) for room in files}


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("revisions", nargs="*", default=["HEAD"], help="git revisions to compare")
    add_json(parser)
    given = parser.parse_args()
    show([tabulated({revision: count(revision) for revision in given.revisions})], given)


def tabulated(counts: dict[str, dict[str, tuple[int, int]]]) -> Table:
    """Return the table: one row a room, then the sums of `src` and of `tests`."""
    head = ["room"]
    for revision in counts:
        head += [f"files at {revision[:18]}", f"lines at {revision[:18]}"]
    rooms = sorted({room for rows in counts.values() for room in rows})
    lines = [(room, [rows.get(room, (0, 0)) for rows in counts.values()]) for room in rooms]
    for top in ("src", "tests"):
        inside = [
            [pair for room, pair in rows.items() if room.startswith(f"{top}/")]
            for rows in counts.values()
        ]
        sums = [
            (sum(files for files, _ in pairs), sum(lines for _, lines in pairs)) for pairs in inside
        ]
        lines.append((f"all of {top}", sums))
    cells = [(name, *(whole(value) for pair in pairs for value in pair)) for name, pairs in lines]
    return Table(tuple(head), cells)


if __name__ == "__main__":
    main()
