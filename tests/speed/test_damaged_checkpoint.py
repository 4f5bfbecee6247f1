"""Damaged checkpoints of a real query with state: what Spark says, what is named, what a cure does.

The query counts as the speed layer does: deduplicated, by minute, as changed rows to a writer.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from truetape.speed.checkpoint import Damage, Role, damage_in, damage_of, last_committed

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.spark

MINUTE_S = 60
FIRST_MINUTE = 1_000
SYMBOLS = "ABCDEFGH"


class PowerCutError(Exception):
    """Ends a batch after its rows were written and before it is committed."""


@dataclass
class Tape:
    """A stream of trades from files, its checkpoint, and the counts that were served."""

    spark: "SparkSession"
    folder: Path
    sent: Counter[tuple[int, str]] = field(default_factory=Counter)
    served: dict[tuple[int, str], int] = field(default_factory=dict)
    files: int = 0
    breaks: bool = False

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint"

    def send(self) -> None:
        """Add one file: a trade of each symbol, in this minute and the last."""
        rows = [
            {
                "id": f"{self.files}-{minute}-{symbol}",
                # after 1970, where the first watermark is
                "time": (FIRST_MINUTE + minute) * MINUTE_S,
                "symbol": symbol,
            }
            for minute in (self.files, max(0, self.files - 1))
            for symbol in SYMBOLS
        ]
        for row in {str(row["id"]): row for row in rows}.values():
            self.sent[int(row["time"]), str(row["symbol"])] += 1  # type: ignore[call-overload]
        source = self.folder / "in"
        source.mkdir(exist_ok=True)
        text = "\n".join(json.dumps(row) for row in rows)
        (source / f"{self.files}.json").write_text(text)
        self.files += 1

    def run(self) -> None:
        """Process every file that is new, until done. Raise what ended the query."""
        from pyspark.sql import functions as F

        trades = self.spark.readStream.schema("id string, time long, symbol string").json(
            str(self.folder / "in")
        )
        timed = trades.withColumn("event_time", F.timestamp_seconds("time"))
        unique = timed.withWatermark("event_time", "1 hour").dropDuplicatesWithinWatermark(["id"])
        counts = unique.groupBy(
            F.window("event_time", "1 minute").alias("window"), "time", "symbol"
        ).count()
        query = (
            counts.drop("window")
            .writeStream.outputMode("update")
            .option("checkpointLocation", str(self.checkpoint))
            .trigger(availableNow=True)
            .foreachBatch(self._write)
            .start()
        )
        query.awaitTermination()

    def error(self) -> str:
        """Run into an error of Spark and return it."""
        with pytest.raises(Exception, match=str(self.checkpoint)) as error:
            self.run()
        return str(error.value)

    def newest(self, log: str) -> Path:
        return max((self.checkpoint / log).glob("[0-9]*"), key=lambda path: int(path.name))

    def _write(self, rows: "DataFrame", batch: int) -> None:
        self.served |= {(row.time, row.symbol): row["count"] for row in rows.collect()}
        if self.breaks:
            raise PowerCutError


@pytest.fixture
def tape(spark: "SparkSession", tmp_path: Path) -> Iterator[Tape]:
    """Two files are processed."""
    names = ("spark.sql.shuffle.partitions", "spark.sql.adaptive.enabled")
    before = {name: spark.conf.get(name) for name in names}
    spark.conf.set("spark.sql.shuffle.partitions", "1")
    spark.conf.set("spark.sql.adaptive.enabled", "false")
    made = Tape(spark, tmp_path)
    for _ in range(2):
        made.send()
        made.run()
    assert damage_of(made.checkpoint) is None
    yield made
    for name, value in before.items():
        spark.conf.set(name, value)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("damage", [empty, cut])
def test_a_plan_that_is_not_committed_may_be_removed(
    tape: Tape, damage: Callable[[Path], None]
) -> None:
    """Its batch had written its rows already; more trades came since."""
    tape.breaks = True
    tape.send()
    with pytest.raises(Exception, match="PowerCutError"):
        tape.run()
    tape.breaks = False
    plan = tape.newest("offsets")
    assert int(plan.name) == last_committed(tape.checkpoint) + 1
    damage(plan)

    found = damage_of(tape.checkpoint)
    tape.error()  # Spark cannot read it either

    assert found is not None
    assert (found.file, found.role) == (plan, Role.PLAN)
    plan.unlink()
    tape.send()
    tape.run()
    assert tape.served == tape.sent
    assert damage_of(tape.checkpoint) is None


def test_the_newest_commit_may_be_removed(tape: Tape) -> None:
    commit = tape.newest("commits")
    empty(commit)

    found, seen = damage_of(tape.checkpoint), damage_in(tape.error(), tape.checkpoint)

    assert found == Damage(commit, "it is empty", Role.COMMIT)
    assert seen is not None
    assert seen.file == commit
    commit.unlink()
    tape.send()
    tape.run()
    assert tape.served == tape.sent


def test_changes_of_state_that_are_cut_are_named_before_a_start(tape: Tape) -> None:
    version = last_committed(tape.checkpoint) + 1
    files = sorted(tape.checkpoint.rglob(f"state/**/{version}.changelog"))
    assert files
    for file in files:
        whole = file.read_bytes()
        cut(file)
        found = damage_of(tape.checkpoint)
        file.write_bytes(whole)
        assert found == Damage(file, "it is cut, or not Spark's")
