"""The columns of bars for programs: of a time, or of an amount, which have an `end`, too."""

from typing import TYPE_CHECKING

from truetape.kernel.columns import NUMBER
from truetape.serving.store import BAR_NUMBERS

if TYPE_CHECKING:
    import pyarrow


def bar_schema(*, exact: bool = False, with_end: bool = False) -> "pyarrow.Schema":
    """Return the columns; prices, sizes and `vwap` as doubles, or as decimals if `exact`."""
    import pyarrow as pa

    number = NUMBER if exact else pa.float64()
    end = [("end", pa.timestamp("ns", "UTC"))] if with_end else []
    columns: list[tuple[str, pa.DataType]] = [
        ("start", pa.timestamp("ns", "UTC")),
        *end,
        ("symbol", pa.string()),
        ("venue", pa.string()),
        ("session", pa.date32()),
        ("seq", pa.int32()),
        *((name, number) for name in BAR_NUMBERS),
        ("trades", pa.int64()),
        ("layer", pa.string()),
        ("final", pa.bool_()),
        ("rev", pa.int32()),
    ]
    return pa.schema(columns)
