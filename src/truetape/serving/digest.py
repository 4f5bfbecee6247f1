"""Digests of the bars of a symbol, equal whether InfluxDB or numpy computes them. Reads no store.

Float sums depend on the order of addition, and InfluxDB adds shard by shard. So each row is first
folded into one small integer, by IEEE operations that both sides round alike; integers below 2^53
add up exactly in any order. The fold weighs each field and the bar's `seq`, so that swapped values
change the digest.
"""

from dataclasses import fields, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from truetape.serving.store import Digest

SCALE = 1_073_741_824.0
"""2^30: the fold sees steps of a billionth, the last decimal of a price or a size."""
MODULUS = 67_108_859.0
"""The largest prime below 2^26: a sum reaches 2^53 only after 67 million rows."""
WEIGHTS = {"open": 3.0, "high": 5.0, "low": 7.0, "close": 11.0, "vwap": 13.0}

_PRICES = "(" + "+".join(f"{field}*{weight}" for field, weight in WEIGHTS.items()) + ")"
FINGERPRINT_SQL = "+".join(
    f"floor(({term}*(seq+1)*{SCALE}) % {MODULUS})" for term in (_PRICES, "volume")
)
"""The fold of one row in InfluxQL; `fingerprints` does the same operations with numpy."""


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


def final_statement(conditions: str) -> str:
    """Return the InfluxQL statement that counts the final rows of each symbol."""
    counted = "SELECT count(final) FROM bar"
    return f"{counted} WHERE {conditions} AND final = true GROUP BY symbol"


def digests_of(bars: pa.Table) -> dict[str, Digest]:
    """Return the digest of each symbol; `bars` are of one venue and one time range."""
    batch = pc.equal(bars.column("layer"), "batch")
    columns = {
        "symbol": bars.column("symbol"),
        **{name: bars.column(name) for name in ("trades", "seq", "rev")},
        **{name: bars.column(name).cast(pa.int64()) for name in ("final", "void")},
        "batch": batch.cast(pa.int64()),
        "fingerprint": pa.array(fingerprints(bars)),
    }
    summed = ("trades", "seq", "rev", "final", "void", "batch", "fingerprint")
    groups = pa.table(columns).group_by("symbol", use_threads=False)
    sums = groups.aggregate(
        [([], "count_all"), ("rev", "max"), *((name, "sum") for name in summed)]
    )
    return {
        row["symbol"]: Digest(
            bars=row["count_all"],
            trades=row["trades_sum"],
            seq=row["seq_sum"],
            rev_sum=row["rev_sum"],
            rev_max=row["rev_max"],
            final=row["final_sum"],
            void=row["void_sum"],
            batch=row["batch_sum"],
            fingerprint=row["fingerprint_sum"],
        )
        for row in sums.to_pylist()
    }


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


def fingerprints(bars: pa.Table) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """Fold the floats of each bar into an integer, exactly as `FINGERPRINT_SQL` does.

    It is 0 for numbers so large that the fold overflows.
    """
    column = {name: bars.column(name).to_numpy() for name in (*WEIGHTS, "volume", "seq")}
    place = column["seq"].astype(np.float64) + 1.0
    with np.errstate(over="ignore", invalid="ignore"):
        prices = sum(column[name] * weight for name, weight in WEIGHTS.items())
        terms = [prices * place * SCALE, column["volume"] * place * SCALE]
        folded = sum(np.floor(np.fmod(term, MODULUS)) for term in terms)
        folded = np.where(np.isfinite(terms[0]) & np.isfinite(terms[1]), folded, 0.0)
    integers: np.ndarray[tuple[int], np.dtype[np.int64]] = folded.astype(np.int64)
    return integers
