"""`truetape replay` of real trades through Kafka, Spark and InfluxDB, beside the vendor's own bars.

Numbers that are expected were counted in the vendor's files.
"""

import dataclasses
import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from pathlib import Path

import pytest

from support.build import SECOND, at
from support.data import real_data
from truetape.broker.offsets import end_offsets
from truetape.host.settings import Settings
from truetape.market.resolution import Resolution
from truetape.serving.backends import open_store
from truetape.serving.store import BarStore, ServedBar

pytestmark = [pytest.mark.real, pytest.mark.data]

REPLAY_WITHIN_S = 300.0
STOP_WITHIN_S = 90.0


@dataclass(frozen=True, slots=True)
class Case:
    """A file of real trades of one symbol, how it is read, and a span that all its bars lie in."""

    file: tuple[str, ...]
    feed: str
    profile: str
    symbol: str
    span: tuple[int, int]

    @property
    def path(self) -> Path:
        """Where the file is; skips the test when nowhere."""
        return real_data(*self.file)


IBM = Case(
    ("lean_us_equity_2013-10", "tick", "ibm", "20131007_trade.zip"),
    "lean-equity-tick",
    "lean",
    "IBM",
    (at("2013-10-07T04:00:00"), at("2013-10-08T04:00:00")),
)
KRAKEN = Case(
    ("kraken_xbtusdt_2025-11-10", "http_trades.json"),
    "kraken-rest",
    "all",
    "XBTUSDT",
    (at("2025-11-10T00:00:00"), at("2025-11-12T00:00:00")),
)
KRAKEN_WHOLE = (at("2025-11-10T17:24:00"), at("2025-11-11T00:13:00"))
"""The minutes that the trades cover whole: without the first and the last."""


@dataclass(frozen=True, slots=True)
class Printed:
    """What a replay printed."""

    text: str
    progress: str

    @property
    def sessions(self) -> list[list[str]]:
        """Session, trades, rev, confirmed, changed, added, void, compared, differ."""
        return [cells for cells in self.rows() if len(cells) == 9]

    def rows(self, first: str = "") -> list[list[str]]:
        """The cells of the table rows that begin with a text."""
        rows = [
            [cell.strip() for cell in line.strip("│").split("│")]
            for line in self.text.splitlines()
            if line.startswith("│")
        ]
        return [cells for cells in rows if cells[0].startswith(first)]

    @property
    def summary(self) -> str:
        """The first line, whole."""
        return " ".join(self.text.partition("Sessions:")[0].split())


@pytest.fixture
def own(stack: Settings, tmp_path: Path) -> Settings:
    """The run's servers and the home they belong to, with a topic and a lake of the test's own."""
    return dataclasses.replace(
        stack,
        lake=str(tmp_path / "lake"),
        topic=f"replay-{secrets.token_hex(4)}",
        bucket_set="history",
        seal_delay_s=0.0,
        spark_driver_memory="2g",
    )


@pytest.fixture
def store(own: Settings) -> Iterator[BarStore]:
    opened = open_store(own)
    yield opened
    opened.close()


def replay(own: Settings, case: Case) -> Printed:
    """Run the verb as a user does."""
    verb = ["replay", str(case.path), "--feed", case.feed, "--profile", case.profile]
    child = subprocess.Popen(
        [sys.executable, "-m", "truetape.cli.main", *verb],
        env=os.environ | own.to_env(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        text, progress = child.communicate(timeout=REPLAY_WITHIN_S)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGINT)  # it stops its speed layer
        text, progress = child.communicate(timeout=STOP_WITHIN_S)
    assert child.returncode == 0, f"{progress}\n{text}"
    return Printed(text, progress)


def served(store: BarStore, case: Case) -> list[ServedBar]:
    """Every bar of the symbol, at all resolutions."""
    return [
        bar
        for resolution in Resolution
        for bar in store.read(resolution, *case.span, symbols=[case.symbol])
    ]


def test_every_minute_bar_of_kraken_equals_the_exchange_s(own: Settings, store: BarStore) -> None:
    printed = replay(own, KRAKEN)

    assert printed.summary == (
        "1 payloads contained 1,000 records = 1,000 accepted + 0 rejected; "
        "the lake holds 1,000 = 1,000 + 0, 0 holes"
    )
    assert [cells[0] for cells in printed.sessions] == ["KRAKEN 2025-11-10", "KRAKEN 2025-11-11"]
    assert sum(int(cells[1]) for cells in printed.sessions) == 1_000
    assert [(cells[2], cells[-1]) for cells in printed.sessions] == [("1", "0")] * 2
    assert printed.rows("XBTUSDT") == [
        ["XBTUSDT", "http_trades.json", "1m", "272", "272", "100.0000%"]
    ]
    assert minutes_served(store) == minutes_of_the_exchange(KRAKEN.path.with_name("http_ohlc.json"))

    a_second_replay_changes_nothing(own, store, KRAKEN, printed)


def minutes_of_the_exchange(file: Path) -> dict[int, tuple[Decimal, ...]]:
    """Start to open, high, low, close, VWAP, volume and count, as the exchange printed them."""
    rows = json.loads(file.read_text())["result"]["XBTUSDT"]
    found = {
        start * SECOND: tuple(Decimal(value) for value in values)
        for start, *values in rows
        if values[-1] and KRAKEN_WHOLE[0] <= start * SECOND < KRAKEN_WHOLE[1]
    }
    assert len(found) == 272
    return found


def minutes_served(store: BarStore) -> dict[int, tuple[Decimal, ...]]:
    """The same from InfluxDB; the exchange cuts its VWAP after one decimal."""
    bars = store.read(Resolution.MINUTE, *KRAKEN_WHOLE, venue="KRAKEN", symbols=["XBTUSDT"])
    found = {}
    for bar in bars:
        assert bar.final
        values = (bar.open, bar.high, bar.low, bar.close, bar.vwap, bar.volume, bar.trades)
        exact = [Decimal(str(value)) for value in values]
        exact[4] = exact[4].quantize(Decimal("0.1"), ROUND_DOWN)
        found[bar.start_ns] = tuple(exact)
    return found


def test_a_day_of_ibm_equals_the_vendor_s_bars(own: Settings) -> None:
    """4,921 seconds and 388 minutes lie between 09:31 and 15:59 in the vendor's files."""
    printed = replay(dataclasses.replace(own, speed_engine="direct"), IBM)

    assert printed.summary == (
        "24,293 payloads contained 24,293 records = 24,293 accepted + 0 rejected; "
        "the lake holds 24,293 = 24,293 + 0, 0 holes"
    )
    (session,) = printed.sessions
    assert (session[:3], session[-1]) == (["USEQ 2013-10-07", "24,293", "1"], "0")
    assert printed.rows("IBM") == [
        ["IBM", "20131007_trade.zip", "1s", "4,921", "4,921", "100.0000%"],
        ["IBM", "20131007_trade.zip", "1m", "388", "388", "100.0000%"],
    ]


def a_second_replay_changes_nothing(
    own: Settings, store: BarStore, case: Case, first: Printed
) -> None:
    """Nothing is sent, nothing is edited, and the same is printed."""
    before = end_offsets(own.kafka, own.topic), served(store, case)
    assert before[1]

    second = replay(dataclasses.replace(own, speed_engine="direct"), case)

    assert f"{case.path.name} was replayed before" in second.progress
    assert (end_offsets(own.kafka, own.topic), served(store, case)) == before
    assert second.summary == first.summary
    assert second.rows(case.symbol) == first.rows(case.symbol)
    assert second.sessions == [
        [*cells[:2], "unchanged", "0", "0", "0", "0", *cells[7:]] for cells in first.sessions
    ]
