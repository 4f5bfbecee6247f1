"""Judge: what each trade counts for, by the reference, asked once a distinct set of conditions."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from truetape.kernel.columns import ELIGIBILITY
from truetape.market.eligibility import Eligibility, Profile

_NO_TAPE = ""


def judge(trades: pa.Table, profile: Profile) -> pa.Table:
    """Add the columns of `ELIGIBILITY`; reads `conditions`, never null, and `tape`."""
    codes = pc.binary_join(trades["conditions"].combine_chunks(), ",")
    tapes = pc.fill_null(trades["tape"].combine_chunks(), _NO_TAPE)
    distinct = pc.binary_join_element_wise(tapes, codes, "|").dictionary_encode()
    verdicts = [_verdict(text, profile) for text in distinct.dictionary.to_pylist()]
    table = pa.Table.from_pylist(verdicts, ELIGIBILITY).take(distinct.indices)
    for name in ELIGIBILITY.names:
        trades = trades.append_column(name, table[name])
    return trades


def unknown(judged: pa.Table) -> Iterator[tuple[list[str], str | None, int]]:
    """Yield the conditions and tapes of trades with a code that the profile does not have, and how
    many trades have them.
    """
    rows = judged.filter(pc.invert(judged["known"])).select(["conditions", "tape"])
    codes = pc.binary_join(rows["conditions"].combine_chunks(), ",")
    counted = pa.table({"codes": codes, "tape": rows["tape"]}).group_by(["codes", "tape"])
    for row in counted.aggregate([([], "count_all")]).to_pylist():
        yield row["codes"].split(","), row["tape"], row["count_all"]


def _verdict(text: str, profile: Profile) -> dict[str, bool]:
    tape, _, codes = text.partition("|")
    conditions = codes.split(",") if codes else ()
    verdict: Eligibility = profile.judge(conditions, tape or None)
    return {
        "open_close": verdict.open_close,
        "high_low": verdict.high_low,
        "counts": verdict.volume,
        "auction": verdict.auction,
        "known": verdict.known,
    }
