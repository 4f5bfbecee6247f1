"""Print files and lines of each room of `src` and of each folder of `tests`, at git revisions.

python benchmarks/rooms.py ab4079b HEAD
"""

import argparse
import subprocess
from collections import Counter
from pathlib import Path

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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("revisions", nargs="*", default=["HEAD"], help="git revisions to compare")
    revisions = parser.parse_args().revisions
    counts = {revision: count(revision) for revision in revisions}
    print("room".ljust(18) + "".join(f"{revision[:18]:>24}" for revision in revisions))
    rooms = sorted({room for rows in counts.values() for room in rows})
    for room in rooms:
        print(room.ljust(18) + "".join(_cells(*rows.get(room, (0, 0))) for rows in counts.values()))
    for top in ("src", "tests"):
        totals = []
        for rows in counts.values():
            chosen = [number for room, number in rows.items() if room.startswith(f"{top}/")]
            totals.append(tuple(map(sum, zip(*chosen, strict=True))))
        print(f"all of {top}".ljust(18) + "".join(_cells(*total) for total in totals))


def _cells(files: int, lines: int) -> str:
    return f"{files:>10} files{lines:>8,}" if files else " " * 23 + "-"


if __name__ == "__main__":
    main()
