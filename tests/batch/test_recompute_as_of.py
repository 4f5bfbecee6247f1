"""Recompute as of an instant: uses only events received by then, and writes nothing."""

from datetime import date
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner

from support.raw import put_records
from support.spark_bars import text_of
from truetape.batch import jobs
from truetape.batch.local import parts as local
from truetape.batch.recompute import Engine, RecomputeRules
from truetape.batch.session_recompute import recompute as recompute_session
from truetape.batch.session_recompute import recompute_as_of
from truetape.batch.spark import parts as on_spark
from truetape.cli.recompute import recompute
from truetape.feeds.simulator.faults import Faults
from truetape.feeds.simulator.session import SimulationPlan, simulate
from truetape.host.calendars import session
from truetape.host.profiles import load
from truetape.host.venues import venues
from truetape.market.bars import bars
from truetape.market.canonical import canonical
from truetape.market.resolution import SECOND_NS, Resolution

TROUBLED = Faults(late=0.05, duplicate=0.05, cancel=0.05, correct=0.05)
PLAN = SimulationPlan(
    date(2026, 11, 20), seed=3, trades=400, symbols=("IBM", "KO"), faults=TROUBLED
)
SESSION = session(venues()["XNYS"], PLAN.day)
RULES = RecomputeRules(load("sip"), venues(), lateness_ns=60 * SECOND_NS)


@pytest.mark.parametrize("name", ["local", pytest.param("spark", marks=pytest.mark.spark)])
def test_bars_as_of_an_instant_equal_the_reference_and_the_lake_is_unchanged(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    engine: Engine = local.computed
    if name == "spark":
        spark = request.getfixturevalue("spark")
        engine = partial(on_spark.computed, spark=spark)
        monkeypatch.setattr(jobs, "spark_session", lambda *_: spark)
        monkeypatch.setattr(jobs, "spark_jars", lambda *_: [])
    made = simulate(PLAN)
    lake = str(tmp_path / "lake")
    put_records(lake, made.records)
    recompute_session(lake, SESSION, RULES, engine)
    files = sorted(path.name for path in Path(lake).rglob("*.parquet"))
    width = (SESSION.close_ns or 0) - (SESSION.open_ns or 0)
    for part in (4, 9):
        instant = (SESSION.open_ns or 0) + width * part // 10

        known = recompute_as_of(lake, SESSION, RULES, engine, instant)

        settled = canonical(made.truth.events, venues(), instant).trades
        wanted = [
            text_of(bar)
            for resolution in Resolution
            for bar in bars(settled, RULES.profile, resolution, {"XNYS": [SESSION]})
            if bar.is_served
        ]
        assert sorted(map(text_of, known.bars())) == sorted(wanted)
        assert known.counts.trades == len(settled)
    assert sorted(path.name for path in Path(lake).rglob("*.parquet")) == files

    out = tmp_path / "bars.csv"
    arguments = ["--venue", "XNYS", "--session", "2026-11-20", "--as-of", str(instant)]
    settings = {"TRUETAPE_HOME": str(tmp_path), "TRUETAPE_LAKE": lake}
    settings |= {"TRUETAPE_BATCH_ENGINE": name}
    told = CliRunner().invoke(recompute, [*arguments, "--out", str(out)], env=settings)
    assert told.exit_code == 0, told.output
    assert f"XNYS 2026-11-20 as known at 2026-11-20T20:21:00Z: {len(settled):,}" in told.output
    assert len(out.read_text().splitlines()) == len(wanted) + 1
