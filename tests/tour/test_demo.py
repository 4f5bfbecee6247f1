"""The demo simulates the very session that Airflow's schedule will find."""

from datetime import date, timedelta
from pathlib import Path

import pendulum
import pytest
from airflow.timetables.base import TimeRestriction
from pendulum import DateTime

from support.ledger import publication
from truetape.cli.simulate import simulate
from truetape.host.errors import ConfigError
from truetape.host.settings import Settings
from truetape.host.venues import venues
from truetape.lake.publications import record_publication
from truetape.schedule.timetable import ExchangeSessionTimetable
from truetape.tour import demo, live_market
from truetape.tour.places import places


@pytest.mark.parametrize(
    "clock",
    [
        "2026-11-21T00:59:59Z",
        "2026-11-21T01:00:00Z",
        "2026-11-22T12:00:00Z",
        "2026-11-27T21:59:59Z",
        "2026-11-27T22:00:00Z",
        "2026-11-27T03:00:00Z",
    ],
    ids=[
        "a second before the evening is over",
        "as it is over",
        "on a sunday",
        "before a half day is over",
        "as it is over too",
        "in the night behind thanksgiving",
    ],
)
def test_the_demo_simulates_the_session_that_the_schedule_finds(clock: str, tmp_path: Path) -> None:
    now = pendulum.parse(clock)
    assert isinstance(now, DateTime)
    settings = demo.demo_settings(Settings.from_env({"TRUETAPE_HOME": str(tmp_path)}))
    venue = venues()[demo.VENUE]

    class Now(ExchangeSessionTimetable):
        def now(self) -> DateTime:
            return now

    delay = venue.after_hours + timedelta(minutes=settings.batch_delay_min)
    run = Now(venue, delay).next_dagrun_info(
        last_automated_data_interval=None, restriction=TimeRestriction(None, None, catchup=False)
    )

    assert run is not None
    assert run.data_interval is not None
    session = demo.last_session(int(now.timestamp()) * 10**9)
    assert run.data_interval.start.to_date_string() == str(session.date)
    assert run.run_after <= now


def test_the_demo_has_its_own_home_and_ports(tmp_path: Path) -> None:
    base = Settings.from_env({"TRUETAPE_HOME": str(tmp_path)})
    settings = demo.demo_settings(base)

    assert settings.home == tmp_path / "demo"
    assert settings.airflow_port != base.airflow_port
    assert settings.kafka != base.kafka
    assert settings.influx_url != base.influx_url
    assert settings.dags_paused


def test_the_environment_of_a_demo_leads_other_commands_to_it(tmp_path: Path) -> None:
    base = Settings.from_env({"TRUETAPE_HOME": str(tmp_path)})
    settings = demo.demo_settings(base)
    ledger_row = publication(1, venue=demo.VENUE, session=date(2026, 11, 27))
    record_publication(settings.lake, ledger_row)

    env = demo.environment(base)

    assert (env.pop("DEMO_DAY"), env.pop("DEMO_BAR")) == ("2026-11-27", "2026-11-27T17:50:00Z")
    assert Settings.from_env(env) == settings
    assert demo.demo_settings(Settings.from_env(env)) == settings


def test_the_environment_of_no_demo_names_the_command_to_run(tmp_path: Path) -> None:
    base = Settings.from_env({"TRUETAPE_HOME": str(tmp_path)})

    with pytest.raises(ConfigError, match="run `truetape demo` first"):
        demo.environment(base)


def test_the_demo_s_table_of_addresses_has_every_page_of_the_console(tmp_path: Path) -> None:
    settings = demo.demo_settings(Settings.from_env({"TRUETAPE_HOME": str(tmp_path)}))

    found = {place.what: place.where for place in places(settings)}

    airflow = f"http://127.0.0.1:{settings.airflow_port}"
    assert found["Airflow"] == airflow
    assert {name: where for name, where in found.items() if name.startswith("console")} == {
        f"console: {page or 'overview'}": f"{airflow}/plugin/truetape/truetape/{page}"
        for page in ("", "market", "drift", "quality", "backfill")
    }
    assert found["Kafka"] == settings.kafka


def test_the_live_market_never_closes_and_is_a_venue_of_the_demo(tmp_path: Path) -> None:
    """Its command is one that `truetape simulate` takes, and tells no secret."""
    settings = demo.demo_settings(Settings.from_env({"TRUETAPE_HOME": str(tmp_path)}))
    program = live_market.market(settings)
    verb = program.command.index("simulate")

    told = simulate.make_context("simulate", list(program.command[verb + 1 :])).params

    assert (told["live"], told["to_kafka"], told["venue"]) == (True, True, live_market.VENUE)
    assert live_market.VENUE in settings.venues
    assert venues()[live_market.VENUE].calendar is None
    assert not any("token" in name.lower() and "file" not in name.lower() for name in program.env)


def test_stopping_a_demo_that_does_not_run_does_nothing(tmp_path: Path) -> None:
    settings = demo.demo_settings(Settings.from_env({"TRUETAPE_HOME": str(tmp_path)}))
    said: list[str] = []

    live_market.stop(settings, said.append)

    assert said == []
