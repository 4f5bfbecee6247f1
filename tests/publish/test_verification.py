"""Verification recommends a publication only if the gate would not have to stop it."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from support.session_lake import FRIDAY, LakeSession, good_events, lake_session
from truetape.cli.verify import verify as verify_verb
from truetape.host import profiles
from truetape.host.errors import ConfigError, VerificationError
from truetape.host.settings import Settings
from truetape.lake.bars import read_session_bars
from truetape.lake.bars_lineage import record_basis
from truetape.lake.coverage import count_offsets, record_count
from truetape.lake.delta import delete_rows
from truetape.lake.tables import Table
from truetape.market.resolution import Resolution
from truetape.pipeline import publish as pipeline_publish
from truetape.pipeline.publish import verify_once
from truetape.publish.publication import PublicationRequest, publish
from truetape.serving.backends import open_store
from truetape.serving.store import BarStore

PUBLISH = "run `truetape publish --venue XNYS --session 2024-11-22`"
RECOMPUTE = "Run `truetape recompute --venue XNYS --session 2024-11-22`"
RAW = ("raw", 0)


@dataclass(frozen=True, slots=True)
class Published:
    """A session that was recomputed and published as rev 1."""

    settings: Settings
    store: BarStore
    rows: LakeSession

    def recompute(self) -> None:
        """Write the rows, and record that a recompute wrote them."""
        self.rows.write(self.settings.lake)
        record_basis(self.settings.lake, FRIDAY, RAW, None)

    def serve(self, **values: object) -> None:
        """Change the first served minute behind the ledger's back."""
        minute = next(self.store.read(Resolution.MINUTE, FRIDAY.start_ns, FRIDAY.end_ns))
        self.store.write(Resolution.MINUTE, [replace(minute, **values)])


@pytest.fixture
def published(environment: dict[str, str], tmp_path: Path) -> Iterator[Published]:
    lake = str(tmp_path / "lake")
    settings = Settings.from_env(environment | {"TRUETAPE_LAKE": lake})
    with closing(open_store(settings)) as store:
        session = Published(settings, store, lake_session(good_events(), profile=settings.profile))
        session.recompute()
        publish(lake, store, PublicationRequest(FRIDAY, "tests", "because", time.time_ns(), 0.0))
        yield session


def keep_nothing(session: Published) -> None:
    delete_rows(session.settings.lake, Table.BARS, "venue = 'XNYS'")


def keep_one_symbol(session: Published) -> None:
    delete_rows(session.settings.lake, Table.BARS, "symbol != 'KO'")


def change_a_bar(session: Published) -> None:
    """Replace the lake's bars without a recompute, as a restored backup does."""
    session.rows.bar("IBM", "1m")["trades"] += 1
    session.rows.write(session.settings.lake)


def recompute_with_nothing(session: Published) -> None:
    keep_nothing(session)
    record_basis(session.settings.lake, FRIDAY, RAW, None)


def recompute_with_another_profile(session: Published) -> None:
    for row in session.rows.bars:
        row["profile"] = "lean"
    session.rows.bar("IBM", "1m")["trades"] += 1
    session.recompute()


@pytest.mark.parametrize(
    "lose",
    [keep_nothing, keep_one_symbol, change_a_bar, recompute_with_nothing,
     recompute_with_another_profile],
)  # fmt: skip
def test_bars_that_the_gate_would_stop_are_to_be_recomputed(
    published: Published, lose: Callable[[Published], None]
) -> None:
    lose(published)

    with pytest.raises(VerificationError) as raised:
        verify_once(published.settings, FRIDAY)

    assert RECOMPUTE in str(raised.value)
    assert "truetape publish" not in str(raised.value)


def test_bars_of_a_raw_that_lost_rows_are_not_to_be_published(published: Published) -> None:
    """Another program deleted rows that the archive had counted."""
    settings = published.settings
    record_count(settings.lake, count_offsets(settings.lake, settings.topic))
    delete_rows(settings.lake, Table.RAW, "offset in (3, 4)")
    published.serve(close=1.0)

    with pytest.raises(VerificationError) as raised:
        verify_once(settings, FRIDAY)

    assert "do not publish: raw has lost 2 rows since they were counted" in str(raised.value)
    assert "`truetape archive --recount`" in str(raised.value)


def test_bars_on_which_the_gate_closed_are_not_to_be_published(
    published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline_publish, "closed_by", lambda *_: "T28")
    published.serve(close=1.0)

    with pytest.raises(VerificationError, match="do not publish: the gate closed on these bars by"):
        verify_once(published.settings, FRIDAY)


def recompute_a_late_trade(session: Published) -> None:
    session.rows.bar("IBM", "1m")["trades"] += 1
    session.recompute()


def serve_another_close(session: Published) -> None:
    session.serve(close=1.0)


def serve_a_provisional_bar(session: Published) -> None:
    session.serve(final=False, layer="speed")


@pytest.mark.parametrize(
    "change", [recompute_a_late_trade, serve_another_close, serve_a_provisional_bar]
)
def test_bars_that_are_right_in_the_lake_are_to_be_published(
    published: Published, change: Callable[[Published], None]
) -> None:
    change(published)

    with pytest.raises(VerificationError) as raised:
        verify_once(published.settings, FRIDAY)

    assert PUBLISH in str(raised.value)
    assert "recompute`" not in str(raised.value)


def test_a_session_that_was_never_published_is_to_be_published(
    environment: dict[str, str], tmp_path: Path
) -> None:
    settings = Settings.from_env(environment | {"TRUETAPE_LAKE": str(tmp_path / "lake")})
    lake_session(good_events(), profile=settings.profile).write(settings.lake)

    with pytest.raises(VerificationError, match="truetape publish"):
        verify_once(settings, FRIDAY)


def test_the_verb_gives_the_same_advice(published: Published, environment: dict[str, str]) -> None:
    keep_nothing(published)

    done = CliRunner().invoke(
        verify_verb,
        ["--venue", "XNYS", "--session", "2024-11-22"],
        env=environment | {"TRUETAPE_LAKE": published.settings.lake},
    )

    assert isinstance(done.exception, VerificationError)
    assert RECOMPUTE in str(done.exception)
    assert "truetape publish" not in str(done.exception)


def test_bars_whose_newest_commit_is_gone_are_damaged(published: Published) -> None:
    """The table itself cannot know; the basis of the recompute does."""
    published.recompute()
    lake = Path(published.settings.lake)
    max((lake / "bars" / "_delta_log").glob("*.json")).unlink()

    with pytest.raises(ConfigError, match=r"newest commits are gone.*docs/RUNBOOK.md"):
        read_session_bars(str(lake), FRIDAY)


def test_the_fixture_uses_the_profile_of_the_settings(published: Published) -> None:
    profile = profiles.load(published.settings.profile)

    assert read_session_bars(published.settings.lake, FRIDAY).profile == (
        profile.id,
        profile.version,
    )
