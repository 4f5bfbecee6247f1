"""What a driver has done: its batches, and how fast. Knows no engine."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BatchReport:
    """One batch that was read, counted and written. `records` were read, `bars` changed."""

    number: int
    ended_ns: int
    seconds: float
    records: int
    late: int
    bars: int
