"""The verb `event-time`: raw event times on stdin, epoch nanoseconds on stdout.

Parses no shape itself; `market.event_time` does.
"""

import sys
from collections.abc import Iterator
from datetime import date
from io import BufferedIOBase
from typing import cast

import click

from truetape.cli.options import DATE
from truetape.market import wall_clock
from truetape.market.event_time import Shape, TimeSpec, is_local, parse
from truetape.market.rejection import Reason, Refused

MAX_LINE_BYTES = 4_096
"""A longer line is rejected; no valid time is a tenth as long."""
_BLOCK_BYTES = 65_536

_SHAPES = """
\b
Shapes, each with an example value:
  epoch-s         1762795433.9717445             seconds since 1970, digits after
  epoch-ms        1762795433971                  the point down to the nanosecond;
  epoch-us        1762795433971744               only 2001 to 2099
  epoch-ns        1762795433971744500
  iso8601         2026-11-20T09:31:10.5-05:00    20261120T143110Z, 2026-11-20 14:31z
  iso8601-local   2026-11-20 09:31:10,5          needs --zone
  fix             20261120-14:31:10.500          UTC; 0, 3, 6 or 9 fraction digits
  time-of-day-s   34270.5                        since midnight on the wall clock;
  time-of-day-ms  34270500                       needs --zone and --date
  time-of-day-us  34270500000
  time-of-day-ns  34270500000000
  clock           9:31:10.5                      the same as a clock shows it
  pattern         20-Nov-2026 09:31:10.5 AM      needs --pattern "%d-%b-%Y %I:%M:%S.%f %p"
                                                 and --zone, unless it has %z
  excel-serial    46346.396649306                needs --zone; rounds to the millisecond

\b
Examples:
  echo 1762795433.9717445 | truetape event-time --shape epoch-s
  1762795433971744500
  echo 2026-11-20T09:31:10 | truetape event-time --shape iso8601
  rejected: bad-event-time: no UTC offset (shape iso8601-local has a zone instead)
  echo 34200000 | truetape event-time --shape time-of-day-ms \\
      --zone America/New_York --date 2026-11-01
  1793543400000000000
"""


@click.command("event-time", epilog=_SHAPES)
@click.option(
    "--shape",
    required=True,
    type=click.Choice([shape.value for shape in Shape]),
    metavar="SHAPE",
    help="Format of the values; the list is below.",
)
@click.option("--zone", help="Time zone of local shapes, such as America/New_York.")
@click.option(
    "--date",
    "day",
    type=DATE,
    metavar="YYYY-MM-DD",
    help="Date of the time-of-day shapes, on the zone's wall clock.",
)
@click.option("--pattern", help="Layout of the shape pattern: %Y %m %b %d %H %I %p %M %S %f %z %%.")
def event_time(shape: str, zone: str | None, day: date | None, pattern: str | None) -> None:
    """Turn raw event times into epoch nanoseconds.

    Reads one value a line on stdin and prints one line for each on stdout, in order: the
    nanoseconds, or "rejected: REASON". It never guesses the unit, the zone or the date. After a
    rejected value it goes on; rejections do not change the exit code. Writes no file.
    """
    spec = _spec(Shape(shape), zone, pattern)
    if spec.needs_day and day is None:
        raise click.UsageError(f"shape {shape} needs --date, the date of the session")
    if day is not None and not spec.needs_day:
        click.echo(f"note: values of shape {shape} have a date; --date is not used", err=True)
    for block in answers(cast(BufferedIOBase, sys.stdin.buffer), spec, day):
        sys.stdout.buffer.write(block)
        sys.stdout.buffer.flush()


def _spec(shape: Shape, zone: str | None, pattern: str | None) -> TimeSpec:
    if (pattern is None) == (shape is Shape.PATTERN):
        raise click.UsageError("--shape pattern and --pattern go together; give both or neither")
    try:
        needs_zone = is_local(shape, pattern)
        if zone is None and needs_zone:
            raise click.UsageError(f"shape {shape} needs --zone, such as America/New_York")
        if zone is not None and not needs_zone:
            wall_clock.zone(zone)
            click.echo(
                f"note: values of shape {shape} contain a zone; --zone is not used", err=True
            )
        return TimeSpec(shape, zone if needs_zone else None, pattern)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def answers(source: BufferedIOBase, spec: TimeSpec, day: date | None) -> Iterator[bytes]:
    """Yield the answers to lines as soon as the lines arrive, in bounded memory.

    A line ends in LF or CR LF; the end of the stream ends the last line, too. Every line gets one
    answer: the epoch nanoseconds, or "rejected: REASON".
    """
    for lines in _lines(source):
        yield b"".join(_answer(line, spec, day) for line in lines)


def _answer(line: bytes, spec: TimeSpec, day: date | None) -> bytes:
    match _parse_line(line.removesuffix(b"\r"), spec, day):
        case Refused(reason, detail):
            return f"rejected: {reason}{': ' if detail else ''}{detail}\n".encode()
        case instant_ns:
            return b"%d\n" % instant_ns


def _parse_line(line: bytes, spec: TimeSpec, day: date | None) -> int | Refused:
    if len(line) > MAX_LINE_BYTES:
        return Refused(Reason.TOO_LARGE, f"more than {MAX_LINE_BYTES} bytes")
    try:
        return parse(line.decode(), spec, day)
    except UnicodeDecodeError as error:
        return Refused(Reason.NOT_TEXT, f"byte 0x{line[error.start]:02x} at {error.start}")


def _lines(source: BufferedIOBase) -> Iterator[list[bytes]]:
    """Split the stream into lines; cut a line that is too long, so that memory stays bounded."""
    rest = b""
    while block := source.read1(_BLOCK_BYTES):
        *lines, last = block.split(b"\n")
        if lines:
            lines[0] = rest + lines[0]
            yield lines
            rest = b""
        rest = (rest + last)[: MAX_LINE_BYTES + 2]
    if rest:
        yield [rest]
