"""The quality gate: seconds and memory for a session of N trades, and the cost of the import.

The local engine first decodes and recomputes the session, in processes that are not measured
here; the gate then runs in a fresh process, as in an Airflow task or a `publish`.
"""

import argparse
import json
import sys
import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import payloads
from measure import in_child, report, stopped_by_signals
from recompute import run_step
from results import Table, add_json, cores, seconds, show, whole

from truetape.host.errors import TruetapeError, VerificationError
from truetape.host.settings import Settings

_WITHIN_S = 900


def main() -> int:
    """Make the session, run the gate in a child process, print the table."""
    wanted = _arguments()
    if wanted.work:
        print(json.dumps(_measured(wanted.work)))
        return 0
    try:
        with (
            stopped_by_signals(),
            tempfile.TemporaryDirectory(prefix="truetape-quality-") as work,
        ):
            show([measure(Path(work), wanted.trades, wanted.symbols, wanted.seed)], wanted)
    except TruetapeError as error:
        print(f"quality: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def measure(work: Path, trades: int, symbols: int, seed: int) -> Table:
    """Return the table. Raise VerificationError if the gate closes on a good session."""
    report(f"writing {trades:,} trades of {symbols} symbols")
    payloads.write(work, trades, symbols, seed)
    for step in ("local-decode", "local-recompute"):
        run_step(step, work)
    report("gate: running three times in one process")
    command = [sys.executable, str(Path(__file__)), "--work", str(work)]
    runs = in_child(command, "the gate", _WITHIN_S)
    bars = runs[0]["rows"]["bars"]
    return _tabulated(runs, f"{trades:,} trades of {symbols} symbols, {bars:,} bars, {cores()}")


def _tabulated(runs: list[dict[str, object]], title: str) -> Table:
    steps = ("load", "read", "trades", "bars", "reconciliation")
    head = ("run", *steps, "sum", "peak MB")
    lines = [
        (
            str(run["name"]),
            *[seconds(run["seconds"][step]) for step in steps],  # type: ignore[index]
            seconds(sum(run["seconds"].values())),  # type: ignore[attr-defined]
            whole(run["peak_mb"]),  # type: ignore[arg-type]
        )
        for run in runs
    ]
    return Table(head, lines, title)


def _measured(work: Path) -> list[dict[str, object]]:
    """Run the gate: in a fresh process, again, and with the session served."""
    from truetape.lake.bars import read_session_bars
    from truetape.quality.checks import check_session
    from truetape.quality.edit_frames import ROW_BY_ROW
    from truetape.serving.backends import open_store

    home = work / "local"
    settings = replace(
        Settings.from_env({"TRUETAPE_HOME": str(home)}), store="embedded", bucket_set="history"
    )
    session, runs = payloads.session(), []
    for name in ("in a fresh process", "again", "with the session served"):
        if name.startswith("with"):
            with closing(open_store(settings)) as store:
                for resolution in ROW_BY_ROW:
                    store.write(
                        resolution, read_session_bars(settings.lake, session).bars(resolution)
                    )
        found = check_session(settings, session)
        if not found.is_open:
            raise VerificationError(f"the gate is closed: {found.verdict}")
        measured = {"seconds": dict(found.seconds), "rows": dict(found.rows)}
        runs.append(measured | {"name": name, "peak_mb": found.peak_mb})
    return runs


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="quality.py",
        description="Measure what the quality gate costs for a session: the import of Great "
        "Expectations, reading, each suite, and the memory of the process.",
    )
    parser.add_argument("--trades", type=int, default=2_000_000, help="trades in the session")
    parser.add_argument("--symbols", type=int, default=200, help="symbols in the session")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same trades")
    add_json(parser)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
