"""Digests of the bars of a symbol, equal whether InfluxDB or Python computes them. Reads no store.

Float sums depend on the order of addition, and InfluxDB adds shard by shard. So each row is first
folded into one small integer, by IEEE operations that both sides round alike; integers below 2^53
add up exactly in any order. The fold weighs each field and the bar's `seq`, so that swapped values
change the digest.
"""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import fields, replace

from truetape.serving.store import Digest, ServedBar

SCALE = 1_073_741_824.0
"""2^30: the fold sees steps of a billionth, the last decimal of a price or a size."""
MODULUS = 67_108_859.0
"""The largest prime below 2^26: a sum reaches 2^53 only after 67 million rows."""
WEIGHTS = {"open": 3.0, "high": 5.0, "low": 7.0, "close": 11.0, "vwap": 13.0}

_PRICES = "(" + "+".join(f"{field}*{weight}" for field, weight in WEIGHTS.items()) + ")"
FINGERPRINT_SQL = "+".join(
    f"floor(({term}*(seq+1)*{SCALE}) % {MODULUS})" for term in (_PRICES, "volume")
)
"""The fold of one row in InfluxQL; `fingerprint` does the same operations in Python."""


def digest_statements(conditions: str) -> str:
    """Return the five InfluxQL statements of a digest: sums, three counts of flags, fingerprint."""
    source = f"FROM bar WHERE {conditions}"
    flags = ("final = true", "void = true", "layer = 'batch'")
    fold = f"SELECT {FINGERPRINT_SQL} AS x {source} GROUP BY symbol"
    statements = [
        f"SELECT count(final), sum(trades), sum(seq), sum(rev), max(rev) {source}",
        *(f"SELECT count(final) {source} AND {flag}" for flag in flags),
        f"SELECT sum(x) FROM ({fold})",  # noqa: S608 - the quoted texts of `fold`
    ]
    return "; ".join(f"{statement} GROUP BY symbol" for statement in statements)


def digests_of(bars: Iterable[ServedBar]) -> dict[str, Digest]:
    """Return the digest of each symbol; `bars` are of one venue and one time range."""
    groups: dict[str, list[ServedBar]] = defaultdict(list)
    for bar in bars:
        groups[bar.symbol].append(bar)
    return {symbol: digest_of(rows) for symbol, rows in groups.items()}


def digest_of(bars: Iterable[ServedBar]) -> Digest:
    """Return the digest of one symbol's bars, in any order; there must be at least one bar."""
    rows = list(bars)
    return Digest(
        bars=len(rows),
        trades=sum(bar.trades for bar in rows),
        seq=sum(bar.seq for bar in rows),
        rev_sum=sum(bar.rev for bar in rows),
        rev_max=max(bar.rev for bar in rows),
        final=sum(bar.final for bar in rows),
        void=sum(bar.void for bar in rows),
        batch=sum(bar.layer == "batch" for bar in rows),
        fingerprint=sum(fingerprint(bar) for bar in rows),
    )


def sum_of(bars: Iterable[ServedBar]) -> Digest:
    """Return the sums of some bars, perhaps of none; `rev_max` is 0."""
    rows = list(bars)
    return sums(digest_of(rows)) if rows else NOTHING


def sums(digest: Digest | None) -> Digest:
    """Return the fields of a digest that are sums; without a digest, those of no bar."""
    return NOTHING if digest is None else replace(digest, rev_max=0)


def plus(digest: Digest, other: Digest, sign: int = 1) -> Digest:
    """Add the sums of another digest, or with `sign` -1 take them away."""
    return Digest(
        *(
            getattr(digest, field.name) + sign * getattr(other, field.name)
            for field in fields(Digest)
        )
    )


NOTHING = Digest(0, 0, 0, 0, 0, 0, 0, 0, 0)
"""The sums of no bar."""


def fingerprint(bar: ServedBar) -> int:
    """Fold the floats of a bar into an integer, exactly as `FINGERPRINT_SQL` does.

    Return 0 if the numbers are so large that the fold overflows.
    """
    prices = (
        bar.open * WEIGHTS["open"]
        + bar.high * WEIGHTS["high"]
        + bar.low * WEIGHTS["low"]
        + bar.close * WEIGHTS["close"]
        + bar.vwap * WEIGHTS["vwap"]
    )
    place = float(bar.seq + 1)
    terms = (prices * place * SCALE, bar.volume * place * SCALE)
    if not all(math.isfinite(term) for term in terms):
        return 0
    return sum(math.floor(math.fmod(term, MODULUS)) for term in terms)
