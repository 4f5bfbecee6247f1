"""The position: its offsets, its horizons, its watermark."""

from datetime import UTC, datetime

import pytest

from support.build import NOON, SECOND
from truetape.speed.counting import NOTHING_CLOSED
from truetape.speed.position import PartitionPosition, SpeedPosition

NOBODY = PartitionPosition(0, NOTHING_CLOSED, 0, NOTHING_CLOSED)
POSITION = SpeedPosition(
    7,
    {
        "0": PartitionPosition(100, NOON + SECOND, 90, NOON),
        "1": PartitionPosition(5, NOON + 3 * SECOND // 2, 5, NOON + 3 * SECOND // 2),
        "2": NOBODY,
    },
)


def test_offsets_are_written_from_and_horizons_are_read_from() -> None:
    assert POSITION.offsets == {"0": 100, "1": 5, "2": 0}
    assert POSITION.horizons == {"0": 90, "1": 5, "2": 0}


@pytest.mark.parametrize(
    ("position", "watermark"),
    [
        (POSITION, datetime(2026, 11, 20, 17, 0, 1, 500_000, UTC)),
        (SpeedPosition(), None),
        (SpeedPosition(0, {"0": NOBODY}), None),
    ],
    ids=["the latest of all partitions", "before the first batch", "nothing is closed"],
)
def test_the_watermark_is_the_latest_instant_that_is_closed(
    position: SpeedPosition, watermark: datetime | None
) -> None:
    assert position.watermark == watermark
