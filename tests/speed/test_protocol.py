"""The driver's protocol, step by step, in a world with one driver."""

import random
from types import SimpleNamespace

import pytest

from support.race import Faults, Process, World
from support.speed import driver, position
from truetape.host.errors import ConfigError, TransientError
from truetape.speed.control_records import DesiredState
from truetape.speed.heartbeat import Phase
from truetape.speed.position import NO_LOG, SpeedPosition
from truetape.speed.protocol import DriverRun

MAX_STEPS = 50


@pytest.fixture
def world() -> World:
    """A market with trades, and a command to serve it."""
    world = World(random.Random(1), is_one_host=True, faults=Faults.NONE)
    world.records.write_command(DesiredState.STARTED, "open for business", "ops")
    for _ in range(5):
        world.trade()
    return world


@pytest.fixture
def process(world: World) -> Process:
    process = Process(world, driver(0), command=1, after=0)
    world.processes.append(process)
    return process


def run(process: Process) -> None:
    """Let the driver go on until it ends."""
    for _ in range(MAX_STEPS):
        if not process.is_alive:
            return
        process.step()
    pytest.fail(f"still alive after {MAX_STEPS} steps")


def serve(process: Process) -> DriverRun:
    """Let the driver go on until it has written every trade."""
    for _ in range(MAX_STEPS):
        process.step()
        if process.run is not None and has_written(process.run):
            return process.run
    pytest.fail(f"no batch after {MAX_STEPS} steps")


def has_written(run: DriverRun) -> bool:
    return run.writer is not None and bool(run.writer.reports)


def test_a_driver_ends_between_two_batches_after_a_newer_command(
    world: World, process: Process
) -> None:
    speed = serve(process)
    world.records.write_command(DesiredState.STOPPED, "maintenance", "ops")

    run(process)

    (report,) = world.records.exit_reports
    assert (report.code, report.message) == (0, "order 2 by ops: maintenance")
    assert [beat.state for beat in world.beats][-2:] == [Phase.STOPPING, Phase.STOPPED]
    assert speed.writer is not None
    assert world.beats[-1].position == speed.writer.position


def test_a_driver_that_must_stop_ends_without_an_error(world: World, process: Process) -> None:
    serve(process).must_stop = lambda: True

    run(process)

    (report,) = world.records.exit_reports
    assert (report.code, report.message) == (0, "a signal")
    assert world.beats[-1].state is Phase.STOPPED


def test_a_driver_under_an_old_command_does_not_take_the_lease(
    world: World, process: Process
) -> None:
    world.records.write_command(DesiredState.STOPPED, "maintenance", "ops")

    run(process)

    (report,) = world.records.exit_reports
    assert (report.epoch, report.code, report.message) == (0, 0, "order 2 came before the start")
    assert (world.token, world.beats) == (0, [])


def test_a_driver_leaves_the_lease_to_a_holder_that_its_starter_did_not_know(
    world: World, process: Process
) -> None:
    serve(process)
    late = Process(world, driver(1), command=1, after=0)

    run(late)

    assert [report.message for report in world.records.exit_reports] == [
        f"{process.identity} took the lease before"
    ]
    assert process.token == world.token


def test_a_stream_that_ends_by_itself_ends_the_driver(world: World, process: Process) -> None:
    serve(process)
    assert process.stream is not None
    process.stream.has_failed = True

    run(process)

    (report,) = world.records.exit_reports
    assert (report.code, report.message) == (75, "the stream ended")


def test_the_error_of_the_writer_is_reported_and_not_that_of_the_stream(
    world: World, process: Process
) -> None:
    speed = serve(process)
    assert process.stream is not None
    assert speed.writer is not None
    process.stream.has_failed = True
    speed.writer.failure = TransientError("InfluxDB is away")

    run(process)

    (report,) = world.records.exit_reports
    assert (report.code, report.message) == (75, "InfluxDB is away")


def test_a_driver_that_starts_commits_the_position_of_the_one_before(
    world: World, process: Process
) -> None:
    """Also if it ends before its first batch: its successor must not read all records again."""
    serve(process).must_stop = lambda: True
    run(process)
    left = world.beats[-1].position
    second = Process(world, driver(1), command=1, after=1)
    world.processes.append(second)
    speed = second._driver_run()
    speed.load_venues = fail

    with pytest.raises(UnforeseenError):
        list(speed.steps())

    assert world.beats[-1].epoch == 2
    assert world.beats[-1].position == left


def test_a_driver_begins_where_the_topic_lets_it_begin(world: World, process: Process) -> None:
    """Kafka may have deleted records since; what the driver reads from is what it reports."""
    startable = position(7, p0=3)
    speed = process._driver_run()
    speed.topic = SimpleNamespace(  # type: ignore[assignment]
        startable=lambda _: startable, lag=lambda _: {"0": 0}, read_log=lambda *_, **__: NO_LOG
    )
    process._steps = speed.steps()

    serve(process)

    assert speed.writer is not None
    assert speed.writer.position.batch == 8
    assert speed.writer.position.offsets == {"0": 3 + speed.writer.state.records}


def test_the_error_of_a_topic_that_cannot_be_read_on_ends_the_driver(
    world: World, process: Process
) -> None:
    speed = process._driver_run()
    speed.topic = SimpleNamespace(startable=replaced)  # type: ignore[assignment]
    process._steps = speed.steps()

    run(process)

    (report,) = world.records.exit_reports
    assert (report.code, report.message) == (78, "Kafka has replaced the log")


def replaced(_: SpeedPosition) -> SpeedPosition:
    raise ConfigError("Kafka has replaced the log")


class UnforeseenError(Exception):
    """An error that no `except` of truetape names."""


def fail(*_: object) -> None:
    raise UnforeseenError("a defect")


@pytest.mark.parametrize(
    "where", ["newest_beat", "take_lease", "open_store", "load_venues", "must_stop"]
)
def test_an_error_that_nobody_foresaw_leaves_a_last_word(
    world: World, process: Process, where: str
) -> None:
    speed = process._driver_run()
    setattr(speed, where, fail)

    with pytest.raises(UnforeseenError):
        for _ in speed.steps():
            pass

    (report,) = world.records.exit_reports
    assert (report.code, report.message) == (1, "unforeseen UnforeseenError: a defect")
    assert speed.code == 1


def test_a_driver_has_one_last_word(world: World, process: Process) -> None:
    """An error beside the protocol, in the metrics, is reported by the caller of `steps`."""
    speed = serve(process)
    speed.report_error(UnforeseenError("in the metrics"))
    speed.report_error(UnforeseenError("while leaving"))

    (report,) = world.records.exit_reports
    assert report.message == "unforeseen UnforeseenError: in the metrics"


def test_an_unforeseen_error_of_the_writer_is_reported_and_not_that_of_the_stream(
    world: World, process: Process
) -> None:
    speed = serve(process)
    assert process.stream is not None
    assert speed.writer is not None
    process.stream.has_failed = True
    speed.writer.failure = KeyError("XXXX")

    with pytest.raises(KeyError):
        run(process)

    (report,) = world.records.exit_reports
    assert (report.code, report.message) == (1, "unforeseen KeyError: 'XXXX'")
