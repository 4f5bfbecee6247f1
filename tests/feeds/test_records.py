"""The pace of records: real receipt times, squeezed by a factor."""

from truetape.feeds.records import Record, at_speed
from truetape.market.resolution import SECOND_NS


def record(received_s: float) -> Record:
    return Record(b"", "truetape", "A", int(received_s * SECOND_NS))


def test_records_go_out_so_many_times_as_fast_as_they_were_received() -> None:
    now_s, sent_s = 1_000.0, []

    def sleep(seconds: float) -> None:
        nonlocal now_s
        now_s += seconds + 1e-6

    for _ in at_speed([record(50), record(60), record(80)], 10, lambda: now_s, sleep):
        sent_s.append(round(now_s - 1_000, 3))

    assert sent_s == [0, 1, 3]


def test_no_record_takes_no_time() -> None:
    assert list(at_speed([], 10)) == []
