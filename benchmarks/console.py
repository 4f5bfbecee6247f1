"""The console in a browser: time to first paint, and to data on the screen.

Its data are a simulated session that went through Kafka, lake, gate, publication and InfluxDB; its
provisional bars are served by the speed layer's rule, in plain Python. The console runs in its own
process and without a login, so the cost of Airflow's login is not measured. `--pictures` also takes
screenshots.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import date
from io import BytesIO
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import tests_path  # noqa: F401 - makes `support` importable
from freshness import private_stack
from measure import report, stopped_by_signals
from results import Cell, Table, add_json, cores, show, whole

from support import speed_reference
from truetape.feeds.simulator.faults import Faults
from truetape.feeds.simulator.session import SimulatedSession, SimulationPlan, simulate
from truetape.host import calendars
from truetape.host.errors import ConfigError, TransientError, TruetapeError, VerificationError
from truetape.host.settings import Settings
from truetape.host.venues import venues
from truetape.market.resolution import Resolution
from truetape.market.sessions import Session
from truetape.quality.dag_runs import DagRun, record_report
from truetape.quality.report import Report, ReportKind, newest
from truetape.serving.backends import open_store

if TYPE_CHECKING:
    from playwright.sync_api import Browser

DAY = date(2025, 11, 20)
RUN = DagRun("batch_recompute_xnys", "scheduled__2025-11-20T14:30:00+00:00")
SYMBOL = "IBM"
FAULTS = Faults(late=0.001, duplicate=0.001, cancel=0.0003, correct=0.0003)
"""Few enough that most 1m bars do not change when they become final."""
CHART = "#chart[data-drawn=yes]"
ROWS = "main tbody tr"
WITHIN_MS = 30_000
START_WITHIN_S = 120
WIDTH, HEIGHT = 1_180, 820
PICTURES = (
    ("overview", "overview", 740),
    ("market MACD", "market", HEIGHT),
    ("drift session", "drift", HEIGHT),
    ("run", "run", 330),
)
"""Pages of the screenshots, file names, and how much of the page they show."""
COLORS = 64
MOST_BYTES = 150_000
LOOK = """
window.shown = new Promise((resolve) => {
  const frame = () => new Promise(requestAnimationFrame);
  new MutationObserver(async (_, observer) => {
    if (!document.querySelector(SELECTOR)) return;
    observer.disconnect();
    await frame();
    await frame();
    resolve(performance.now());
  }).observe(document, { subtree: true, childList: true, attributes: true });
});
"""
"""Record the time at the second frame after the one with the data: by then they are painted."""
READ = """async () => {
  const shown = await window.shown;
  const [page] = performance.getEntriesByType("navigation");
  const all = [page, ...performance.getEntriesByType("resource")];
  let painted;
  while (!(painted = performance.getEntriesByName("first-contentful-paint")[0])) {
    await new Promise(requestAnimationFrame);  // the browser notes it a little later
  }
  const paint = painted.startTime;
  return {
    server: page.responseStart - page.requestStart,
    paint,
    shown: Math.max(shown, paint),
    requests: all.length,
    bytes: all.reduce((sum, one) => sum + one.transferSize, 0),
  };
}"""


@dataclass(frozen=True, slots=True)
class Page:
    """A page, and the selector that shows that its data are there."""

    name: str
    path: str
    sign: str


@dataclass(frozen=True, slots=True)
class Opened:
    """The result of one opening: milliseconds since the request, requests and bytes sent."""

    server: float
    paint: float
    shown: float
    requests: int
    bytes: int


def main() -> int:
    """Prepare the session, open every page, print the table."""
    wanted = _arguments()
    if wanted.serve:
        serve(wanted.serve)
        return 0
    try:
        with stopped_by_signals(), tempfile.TemporaryDirectory(prefix="truetape-console-") as work:
            show([measure(Path(work), wanted)], wanted)
    except TruetapeError as error:
        print(f"console: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def measure(work: Path, wanted: argparse.Namespace) -> Table:
    """Return the table; also write the screenshots if there is a folder for them."""
    plan = SimulationPlan(
        DAY,
        seed=wanted.seed,
        symbols=(SYMBOL, *(f"S{number:03}" for number in range(1, wanted.symbols))),
        trades=wanted.trades,
        offset_s=0,
        duration_s=60 * wanted.minutes,
        faults=FAULTS,
    )
    session = calendars.session(venues()["XNYS"], DAY)
    with private_stack() as stack:
        settings = replace(stack, bucket_set="history")
        prepare(settings, plan, session)
        pages = _pages(settings, session)
        with _server(work, settings) as address, _browser() as browser:
            report(f"opening {len(pages)} pages, {wanted.times} times each")
            for page in pages:
                _open(browser, address, page)  # loads what the server imports with the first page
            rows = [_row(browser, address, page, wanted.times) for page in pages]
            if wanted.pictures:
                _photograph(browser, address, pages, wanted.pictures)
    head = ("page", "server", "first paint", "data", "data again", "requests", "kB")
    about = f"{plan.trades:,} trades of {len(plan.symbols)} symbols in {wanted.minutes} minutes"
    return Table(head, rows, f"{about}; ms, medians of {wanted.times}, {cores()}")


def prepare(settings: Settings, plan: SimulationPlan, session: Session) -> None:
    """Serve a session provisionally, then make it final."""
    from truetape.batch.jobs import archive_once
    from truetape.broker.producer import send_all
    from truetape.pipeline.sessions import finalize_session

    report(f"simulating {plan.trades:,} trades")
    made = simulate(plan)
    report("serving provisional bars")
    _serve_provisional(settings, made)
    report("archiving, recomputing, publishing")
    send_all(settings.kafka, settings.topic, made.records)
    archive_once(settings)
    finalize_session(settings, session, "at the close", report, "airflow:scheduled")
    record_report(settings.home, RUN, _gate(settings, session))


def serve(port: int) -> None:
    """Serve the console of the environment's settings on the loopback, without a login.

    Responses are compressed as Airflow compresses those of all its plugins.
    """
    import uvicorn
    from fastapi import FastAPI
    from fastapi.middleware.gzip import GZipMiddleware

    from truetape.console.app import create

    root = FastAPI()
    root.add_middleware(GZipMiddleware, minimum_size=1_024, compresslevel=5)
    root.mount("/truetape", create(Settings.from_env, lambda: None))
    uvicorn.run(root, host="127.0.0.1", port=port, log_level="warning")


def _serve_provisional(settings: Settings, made: SimulatedSession) -> None:
    """Serve what the speed layer would: by its rule, in plain Python."""
    counted = speed_reference.counted_trades(made.truth.events)
    with closing(open_store(settings)) as store:
        store.ensure_buckets()
        speed_reference.serve(store, speed_reference.provisional_bars(counted, settings.profile))


def _gate(settings: Settings, session: Session) -> Report:
    report = newest(settings.home, ReportKind.GATE, session.venue, session.date)
    if report is None:
        raise VerificationError(f"no gate report of {session.venue} {session.date}")
    return report


def _pages(settings: Settings, session: Session) -> list[Page]:
    """Return the pages, each with the most data that it can show of the session."""
    with closing(open_store(settings)) as store:
        (bar,) = store.tail(Resolution.MINUTE, SYMBOL, 1)
    day, gate = str(session.date), _gate(settings, session).run
    market = {"symbol": SYMBOL, "venue": session.venue, "session": day}
    bar_of = {"symbol": SYMBOL, "start_ns": bar.start_ns}
    about = {"venue": session.venue, "session": day}
    return [
        Page("overview", "", ROWS),
        Page("market", f"market?{urlencode(market)}", CHART),
        Page("market MACD", f"market?{urlencode(market | {'show': 'session_vwap,macd'})}", CHART),
        Page("market 1s", f"market?{urlencode(market | {'resolution': '1s'})}", CHART),
        Page("bar", f"market/bar?{urlencode(bar_of)}", ROWS),
        Page("drift", "drift", ROWS),
        Page("drift session", f"drift/session?{urlencode(about)}", ROWS),
        Page("quality", "quality", ROWS),
        Page("report", f"quality/report?{urlencode(about | {'run': gate})}", ROWS),
        Page("run", f"quality/run?{urlencode({'dag': RUN.dag, 'run': RUN.run})}", ROWS),
        Page("backfill", "backfill", ROWS),
    ]


@contextmanager
def _server(work: Path, settings: Settings) -> Iterator[str]:
    """Yield the address of the console, which runs in its own process."""
    from truetape.host.http import call
    from truetape.stack.server import free_port

    port = free_port()
    own = {"AIRFLOW_HOME": str(work / "airflow")}  # it looks there for the supervisor's DAG
    command = [sys.executable, __file__, "--serve", str(port)]
    env = {**os.environ, **settings.to_env(), **own}
    with (work / "console.log").open("wb") as log:
        running = subprocess.Popen(command, env=env, stdout=log, stderr=log)
    try:
        give_up = time.monotonic() + START_WITHIN_S
        while time.monotonic() < give_up:
            try:
                if call(f"http://127.0.0.1:{port}", "GET", "/truetape/quality", None, {}).status:
                    break
            except TransientError:
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/truetape/"
    finally:
        running.terminate()
        running.wait(30)


@contextmanager
def _browser() -> "Iterator[Browser]":
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium")
    if program is None:
        raise ConfigError("no chromium; install it: make browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


def _row(browser: "Browser", address: str, page: Page, times: int) -> tuple[Cell, ...]:
    pairs = [_open(browser, address, page) for _ in range(times)]
    first, again = [without for without, _ in pairs], [cached for _, cached in pairs]
    return (
        page.name,
        whole(median(opened.server for opened in first)),
        whole(median(opened.paint for opened in first)),
        whole(median(opened.shown for opened in first)),
        whole(median(opened.shown for opened in again)),
        whole(median(opened.requests for opened in first)),
        whole(median(opened.bytes for opened in first) / 1_000),
    )


def _open(browser: "Browser", address: str, page: Page) -> tuple[Opened, Opened]:
    """Open a page without a cache, and again as a returning reader."""
    context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT})
    tab = context.new_page()
    tab.add_init_script(LOOK.replace("SELECTOR", repr(page.sign)))
    openings = []
    for _ in range(2):
        tab.goto(address + page.path)
        tab.wait_for_selector(page.sign, timeout=WITHIN_MS)
        openings.append(Opened(**tab.evaluate(READ)))
        tab.goto("about:blank")
    context.close()
    return openings[0], openings[1]


def _photograph(browser: "Browser", address: str, pages: list[Page], folder: Path) -> None:
    """Write the screenshots of the README: small, with a palette."""
    folder.mkdir(parents=True, exist_ok=True)
    by_name = {page.name: page for page in pages}
    for name, picture, height in PICTURES:
        tab = browser.new_page(viewport={"width": WIDTH, "height": height})
        tab.goto(address + by_name[name].path)
        tab.wait_for_selector(by_name[name].sign, timeout=WITHIN_MS)
        small = _reduced(tab.screenshot())
        tab.close()
        if len(small) > MOST_BYTES:
            raise VerificationError(f"{picture}.png has {len(small):,} bytes; show less of it")
        (folder / f"{picture}.png").write_bytes(small)
        report(f"{folder / picture}.png: {len(small):,} bytes")


def _reduced(picture: bytes) -> bytes:
    from PIL import Image

    written = BytesIO()
    with Image.open(BytesIO(picture)) as image:
        image.convert("RGB").quantize(COLORS).save(written, "PNG", optimize=True)
    return written.getvalue()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="console.py",
        description="Open every page of the console in a browser, with a session behind it that "
        "went through the real layers, and measure when its data are on the screen.",
    )
    parser.add_argument("--trades", type=int, default=60_000, help="true prints in the session")
    parser.add_argument("--symbols", type=int, default=6, help="symbols in the session")
    parser.add_argument("--minutes", type=int, default=90, help="minutes of trading")
    parser.add_argument("--times", type=int, default=9, help="openings of each page")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same session")
    parser.add_argument("--pictures", type=Path, help="a folder for pictures of the pages")
    add_json(parser)
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
