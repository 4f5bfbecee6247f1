"""Takes archived records out of the lake, as lost files would. For the demo; nothing else does."""

from collections.abc import Mapping

from truetape.batch.spark.lake import Lake
from truetape.lake.tables import Table


def lose_records(lake: str, stretches: Mapping[int, tuple[int, int]]) -> int:
    """Delete the offsets `[first, end)` of each partition from `raw`; return how many that was."""
    from deltalake import DeltaTable

    lost = " or ".join(
        f"(partition = {part} and offset >= {first} and offset < {end})"
        for part, (first, end) in stretches.items()
    )
    return int(DeltaTable(Lake(lake).path(Table.RAW)).delete(lost)["num_deleted_rows"])
