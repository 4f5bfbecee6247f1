"""Recompute as of an instant: uses only events received by then, and writes nothing."""

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from support.raw import put_records
from support.spark_bars import text_of
from support.spark_lake import recomputed
from truetape.batch import jobs
from truetape.batch.local import recompute as local
from truetape.batch.recompute import RecomputeRules
from truetape.batch.spark.lake import Lake
from truetape.batch.spark.recompute import recompute_as_of
from truetape.cli.recompute import recompute
from truetape.feeds.simulator.faults import Faults
from truetape.feeds.simulator.session import SimulationPlan, simulate
from truetape.host.calendars import session
from truetape.host.profiles import load
from truetape.host.venues import venues
from truetape.market.bars import bars
from truetape.market.canonical import canonical
from truetape.market.resolution import SECOND_NS, Resolution

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark

TROUBLED = Faults(late=0.05, duplicate=0.05, cancel=0.05, correct=0.05)
PLAN = SimulationPlan(
    date(2026, 11, 20), seed=3, trades=400, symbols=("IBM", "KO"), faults=TROUBLED
)
SESSION = session(venues()["XNYS"], PLAN.day)
RULES = RecomputeRules(load("sip"), venues(), lateness_ns=60 * SECOND_NS)


@pytest.mark.parametrize("engine", ["local", "spark"])
def test_bars_as_of_an_instant_equal_the_reference_and_the_lake_is_unchanged(
    spark: "SparkSession", tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    made = simulate(PLAN)
    lake = Lake(str(tmp_path / "lake"))
    put_records(lake.root, made.records)
    recomputed(spark, lake.root, SESSION, "sip")
    files = sorted(path.name for path in Path(lake.root).rglob("*.parquet"))
    width = (SESSION.close_ns or 0) - (SESSION.open_ns or 0)
    for part in (4, 9):
        instant = (SESSION.open_ns or 0) + width * part // 10

        if engine == "local":
            known = local.recompute_as_of(lake.root, SESSION, RULES, instant)
        else:
            known = recompute_as_of(spark, lake, SESSION, RULES, instant)

        settled = canonical(made.truth.events, venues(), instant).trades
        wanted = [
            text_of(bar)
            for resolution in Resolution
            for bar in bars(settled, RULES.profile, resolution, {"XNYS": [SESSION]})
            if bar.is_served
        ]
        assert sorted(map(text_of, known.bars())) == sorted(wanted)
        assert known.counts.trades == len(settled)
    assert sorted(path.name for path in Path(lake.root).rglob("*.parquet")) == files

    monkeypatch.setattr(jobs, "spark_session", lambda *_: spark)
    monkeypatch.setattr(jobs, "spark_jars", lambda *_: [])
    out = tmp_path / "bars.csv"
    arguments = ["--venue", "XNYS", "--session", "2026-11-20", "--as-of", str(instant)]
    settings = {"TRUETAPE_HOME": str(tmp_path), "TRUETAPE_LAKE": lake.root}
    settings |= {"TRUETAPE_BATCH_ENGINE": engine}
    told = CliRunner().invoke(recompute, [*arguments, "--out", str(out)], env=settings)
    assert told.exit_code == 0, told.output
    assert f"XNYS 2026-11-20 as known at 2026-11-20T20:21:00Z: {len(settled):,}" in told.output
    assert len(out.read_text().splitlines()) == len(wanted) + 1
