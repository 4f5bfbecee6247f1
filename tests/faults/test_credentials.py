"""A token that is revoked while real processes write with it: exit code 78, and nothing is lost."""

import dataclasses
import signal
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest

from support.drifting import printed
from support.drivers import last_word, read_all, running
from support.loop import own_settings, send, served, truth_of
from support.publisher import SEALED, Trap, publishing
from support.session_lake import lake_session
from truetape.deploy.tokens import WRITER, permissions
from truetape.feeds.simulator.faults import NO_FAULTS
from truetape.feeds.simulator.session import SimulationPlan, simulate
from truetape.host import secret_files
from truetape.host.calendars import session
from truetape.host.settings import Secret, Settings
from truetape.host.venues import venues
from truetape.lake.publications import publications
from truetape.market.resolution import STREAMED, Resolution
from truetape.publish.verification import verify
from truetape.serving.backends import open_store
from truetape.serving.buckets import load_buckets
from truetape.stack.influx_api import InfluxApi

pytestmark = [pytest.mark.faults, pytest.mark.real]


@dataclass(frozen=True, slots=True)
class TokenFile:
    """A file with a token that only this test uses."""

    api: InfluxApi
    operator: Secret
    file: Path

    @property
    def complaint(self) -> str:
        """Return what a message says once the token is revoked."""
        return f"the token in {self.file} (TRUETAPE_INFLUX_TOKEN_FILE) is not valid there"

    def renew(self) -> None:
        """Write a new token to the file, with the rights of a writer."""
        org, ids = self.api.org_id(self.operator), self.api.bucket_ids(self.operator)
        needed = permissions(WRITER, org, [ids[item.name] for item in load_buckets("history").all])
        token = self.api.new_token(self.operator, org, str(self.file), needed)
        secret_files.write(self.file, token)

    def revoke(self) -> None:
        """Delete the token in InfluxDB; the file keeps it."""
        for entry in self.api.authorizations(self.operator):
            if entry["description"] == str(self.file):
                self.api.revoke(self.operator, entry["id"])


@pytest.fixture
def token(stack: Settings, tmp_path: Path) -> TokenFile:
    history = dataclasses.replace(stack, bucket_set="history")
    with closing(open_store(history)) as store:
        store.ensure_buckets()
    operator = Secret(stack.influx_token_file.read_text().strip())
    made = TokenFile(InfluxApi(stack.influx_url, stack.influx_org), operator, tmp_path / "token")
    made.renew()
    return made


def test_a_publication_whose_token_is_revoked_before_its_seal_makes_nothing_final(
    stack: Settings, token: TokenFile, tmp_path: Path
) -> None:
    day = session(venues()["ARCX"], date(2024, 11, 22))
    own = own_settings(stack, tmp_path, influx_token_file=token.file, write_timeout_s=3.0)
    lake_session([printed(60 * minute, "100", venue=day.venue) for minute in range(20)], day).write(
        own.lake
    )
    with publishing(own, day, Trap(signal.SIGSTOP, SEALED)) as publisher:
        publisher.wait_until_stopped()
        token.revoke()
        publisher.thaw()
        code, output = publisher.end()

    assert code == 78
    assert token.complaint in output
    reader = dataclasses.replace(own, influx_token_file=stack.influx_token_file)
    with closing(open_store(reader)) as store:
        rows = [
            row
            for resolution in Resolution
            for row in store.read(resolution, day.start_ns, day.end_ns, venue=day.venue)
        ]
        assert rows
        assert not any(row.final for row in rows)
        assert publications(own.lake, day) == []

        token.renew()
        with publishing(own, day) as publisher:
            assert publisher.end()[0] == 0

        compared, mismatches = verify(own.lake, store, day)
    assert (compared, mismatches) == (len(rows), [])
    first = max(row.rev for row in rows)
    assert [publication.rev for publication in publications(own.lake, day)] == [first + 1]


@pytest.mark.long
@pytest.mark.parametrize(
    ("speed_engine", "on"), [("spark", date(2026, 3, 17)), ("direct", date(2026, 3, 18))]
)
def test_a_driver_whose_token_is_revoked_ends_with_78_and_the_next_one_loses_nothing(
    stack: Settings, token: TokenFile, tmp_path: Path, speed_engine: str, on: date
) -> None:
    day = session(venues()["ARCX"], on)
    own = own_settings(
        stack,
        tmp_path,
        speed_engine=speed_engine,
        speed_lateness_s=3_600,
        profile="sip",
        influx_token_file=token.file,
    )
    plan = SimulationPlan(
        day.date, venue=day.venue, seed=5, trades=1_000, offset_s=600, duration_s=300,
        faults=NO_FAULTS,
    )  # fmt: skip
    made = simulate(plan)
    half = len(made.records) // 2
    with running(own) as driver:
        send(own, made.records[:half])
        read_all(driver, own)
        token.revoke()
        send(own, made.records[half:])

        assert driver.process.wait(120) == 78

    report = last_word(driver)
    assert report.code == 78
    assert token.complaint in report.message

    token.renew()
    with running(own) as driver:
        read_all(driver, own)
        assert driver.stop() == 0
    with closing(open_store(own)) as store:
        assert served(store, day, STREAMED) == truth_of(made, day, STREAMED)
