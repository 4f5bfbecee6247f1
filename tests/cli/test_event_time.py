"""`truetape event-time`: one answer a line, as soon as the line arrives."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from support.event_times import CASES, Case
from truetape.cli.event_time import MAX_LINE_BYTES
from truetape.cli.main import truetape
from truetape.market.event_time import Shape

NEW_YORK = ["--zone", "America/New_York"]


def answers(arguments: list[str], content: bytes) -> list[str]:
    """Run the verb and return the lines that it printed."""
    done = CliRunner().invoke(truetape, ["event-time", *arguments], input=content)
    assert done.exit_code == 0, done.output
    return done.stdout_bytes.decode().splitlines()


def options_of(case: Case) -> list[str]:
    spec = case.spec
    pairs = (("--zone", spec.zone), ("--pattern", spec.pattern), ("--date", case.day))
    given = [word for name, value in pairs if value for word in (name, str(value))]
    return ["--shape", str(spec.shape), *given]


@pytest.mark.parametrize("shape", Shape)
def test_the_verb_gives_the_expected_answer_for_every_case(shape: Shape) -> None:
    of_shape = [case for case in CASES if case.spec.shape is shape and "\n" not in case.raw]
    runs = {tuple(options_of(case)) for case in of_shape if not case.spec.needs_day or case.day}
    for options in runs:
        cases = [c for c in of_shape if options_of(c) == list(options) and c.raw[-1:] != "\r"]
        printed = answers(list(options), "".join(f"{case.raw}\n" for case in cases).encode())

        assert len(printed) == len(cases)
        for case, line in zip(cases, printed, strict=True):
            want = str(case.want) if type(case.want) is int else f"rejected: {case.want}"
            assert line == want or line.startswith(f"{want}: "), case


def test_every_line_gets_one_answer_whatever_its_content() -> None:
    long = b"1" * (MAX_LINE_BYTES + 1)
    longest = b"1" * MAX_LINE_BYTES
    endless = b"1" * 300_000
    lines = [b"1762795433", b"", b"\r", b"1762795433\r", b"1762795433\r\r", b"\xff\xfe", b"x"]
    lines += [long, longest, endless, endless + b"\r", b"1762795433"]

    printed = answers(["--shape", "epoch-s"], b"\n".join(lines))

    assert [line.split(": ")[1] if "rejected" in line else line for line in printed] == [
        "1762795433000000000",
        "empty",
        "empty",
        "1762795433000000000",
        "bad-event-time",
        "not-utf8",
        "bad-event-time",
        "too-large",
        "bad-event-time",
        "too-large",
        "too-large",
        "1762795433000000000",
    ]


def test_a_rejection_has_its_reason_first_and_then_the_detail() -> None:
    assert answers(["--shape", "iso8601"], b"2026-11-20T14:31:10\n\n\xc3\n") == [
        "rejected: bad-event-time: no UTC offset (shape iso8601-local has a zone instead)",
        "rejected: empty",
        "rejected: not-utf8: byte 0xc3 at 0",
    ]


@pytest.mark.parametrize(
    ("given", "lines"), [(b"", 0), (b"\n", 1), (b"x", 1), (b"x\n", 1), (b"x\n\n", 2), (b"x\n\r", 2)]
)
def test_a_line_end_does_not_start_another_line(given: bytes, lines: int) -> None:
    assert len(answers(["--shape", "epoch-s"], given)) == lines


def test_lines_that_cross_read_blocks_stay_complete() -> None:
    count = 20_000

    printed = answers(
        ["--shape", "epoch-ms"], b"".join(b"%d\n" % (10**12 + n) for n in range(count))
    )

    assert printed == [str((10**12 + n) * 1_000_000) for n in range(count)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--shape"),
        (["--shape", "epoch"], "'epoch-ms'"),
        (["--shape", "EPOCH-MS"], "'epoch-ms'"),
        (["--shape", "iso8601-local"], "needs --zone"),
        (["--shape", "iso8601-local", "--zone", "America/NewYork"], "'America/NewYork'"),
        (["--shape", "epoch-ms", "--zone", "Nowhere"], "'Nowhere'"),
        (["--shape", "time-of-day-ms", "--date", "2026-11-01"], "needs --zone"),
        (["--shape", "time-of-day-ms", *NEW_YORK], "needs --date"),
        (["--shape", "time-of-day-ms", *NEW_YORK, "--date", "2026-02-30"], "'2026-02-30'"),
        (["--shape", "time-of-day-ms", *NEW_YORK, "--date", "20261101"], "is not a date like"),
        (["--shape", "time-of-day-ms", *NEW_YORK, "--date", "11/01/2026"], "'11/01/2026'"),
        (["--shape", "epoch-ms", "--date", "tomorrow"], "'tomorrow'"),
        (["--shape", "pattern"], "--pattern go together"),
        (["--shape", "epoch-ms", "--pattern", "%Y"], "--pattern go together"),
        (["--shape", "pattern", "--pattern", "%Y"], "must have"),
        (["--shape", "pattern", "--pattern", "%Y-%m-%d %H:%M"], "needs --zone"),
    ],
)
def test_wrong_usage_prints_a_message_and_no_answer(arguments: list[str], message: str) -> None:
    done = CliRunner().invoke(truetape, ["event-time", *arguments], input=b"1762795433971\n")

    assert done.exit_code == 2
    assert message in done.stderr
    assert not done.stdout


@pytest.mark.parametrize(
    "extra", [["--zone", "America/New_York"], ["--date", "2026-11-20"]], ids=["zone", "date"]
)
def test_an_option_that_the_shape_does_not_need_is_ignored_with_a_note(extra: list[str]) -> None:
    done = CliRunner().invoke(
        truetape, ["event-time", "--shape", "epoch-ms", *extra], input=b"1762795433971\n"
    )

    assert done.exit_code == 0
    assert done.stdout == "1762795433971000000\n"
    assert f"{extra[0]} is not used" in done.stderr


def test_the_help_shows_an_example_of_every_shape() -> None:
    text = CliRunner().invoke(truetape, ["event-time", "--help"]).stdout

    for shape in Shape:
        assert f"\n    {shape} " in text


def test_an_answer_is_printed_before_the_next_line_arrives() -> None:
    command = [sys.executable, "-m", "truetape.cli.main", "event-time", "--shape", "epoch-s"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        for second in (b"1762795433", b"1762795434"):
            running.stdin.write(second + b"\n")
            running.stdin.flush()
            assert running.stdout.readline() == second + b"000000000\n"
        running.stdin.close()
        assert running.wait(timeout=30) == 0
