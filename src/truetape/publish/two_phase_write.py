"""Writes the edits of a publication so that no reader takes a half-written row for final.

InfluxDB does not write a row atomically; a write that it gave up can still arrive later and
overwrite newer values; and a row that is rewritten while it merges its files can revert to its old
values (influxdb#24388). So rows are sealed last, and read back after each step: the database
computes a digest of each symbol, and the rows are read where it is not the expected one. Decides no
edits.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import pyarrow as pa
import pyarrow.compute as pc

from truetape.host.errors import VerificationError
from truetape.host.log import logger
from truetape.market.resolution import Resolution
from truetape.market.sessions import Session
from truetape.publish.diff import Edits
from truetape.serving.bar_table import bars_of, concat, of_symbols, with_values
from truetape.serving.digest import digests_of, plus, sums
from truetape.serving.line_table import BARS
from truetape.serving.row_keys import matches, same_rows
from truetape.serving.store import BarStore, Digest

LATE_WRITE_S = 10.0
"""After this time InfluxDB reports a timeout (storage-write-timeout); the write can still land."""
MAX_ATTEMPTS = 5
"""How often rows are read back; those that differ are written again in between."""
SEAL = ("final",)
CONFIRMATION = ("rev", "layer", "final")
"""The fields that a confirmed row changes; `final` stays false until the seal."""

RoundEdits = Mapping[Resolution, Edits]


@dataclass(slots=True)
class TwoPhaseWrite:
    """The writes of one publication: call `unseal` for each round, then `write_and_seal` once.

    `served`: the digests of the rows before, by symbol and resolution.
    """

    store: BarStore
    session: Session
    served: Mapping[str, Mapping[Resolution, Digest]]
    seal_delay_s: float
    sleep: Callable[[float], None]
    _rounds: list[RoundEdits] = field(default_factory=list)
    _has_unsealed: bool = False
    _retried: bool = False

    def unseal(self, edits: RoundEdits) -> None:
        """Make the rows provisional that a round replaces, and remember the round."""
        self._rounds.append(edits)
        before = self.store.traffic.retries
        for resolution, part in edits.items():
            sealed = part.replaced_final
            self._store(resolution, _unsealed(sealed), SEAL)
            self._has_unsealed |= len(sealed) > 0
        self._retried |= self.store.traffic.retries > before

    def write_and_seal(self) -> None:
        """Wait, write the values of all rounds and compare, wait, seal and compare.

        The first wait lets queries end that still read the rows as final, before their values
        change. It is skipped if no row was final. Raise VerificationError if rows differ when read
        back; then nothing is sealed.
        """
        if not self._rounds:
            return
        if self._retried:
            self.sleep(LATE_WRITE_S)
        if self._has_unsealed:
            self.sleep(self.seal_delay_s)
        with self._outlast_retries():
            for resolution, part in self._parts():
                self._write_values(resolution, part)
        expected = {
            resolution: _expected(
                [part for width, part in self._parts() if width is resolution],
                resolution,
                self.served,
            )
            for resolution in Resolution
        }
        for resolution, rows in expected.items():
            self._write_until_equal(resolution, rows)
        self.sleep(self.seal_delay_s)
        with self._outlast_retries():
            for resolution, part in self._parts():
                self._store(resolution, part.after, SEAL)
        for resolution, rows in expected.items():
            self._write_until_equal(resolution, rows.sealed())

    def _parts(self) -> Iterator[tuple[Resolution, Edits]]:
        for edits in self._rounds:
            yield from edits.items()

    def _write_values(self, resolution: Resolution, part: Edits) -> None:
        """Write the rows as not final; of a confirmed row only what changes."""
        after, confirmed = _unsealed(part.after), part.is_confirmed
        self._store(resolution, after.filter(pc.invert(confirmed)), BARS.fields)
        self._store(resolution, after.filter(confirmed), CONFIRMATION)

    @contextmanager
    def _outlast_retries(self) -> Iterator[None]:
        """Wait after the writes if one of them was retried: its first attempt can arrive late and
        overwrite what is written next.
        """
        before = self.store.traffic.retries
        yield
        if self.store.traffic.retries > before:
            self.sleep(LATE_WRITE_S)

    def _store(self, resolution: Resolution, bars: pa.Table, fields: Sequence[str]) -> None:
        if len(bars):
            report = self.store.write_table(resolution, bars, fields)
            report.require_stored(f"{resolution.value} bars", "nothing was sealed")

    def _write_until_equal(self, resolution: Resolution, expected: "_Expected") -> None:
        """Read the rows back and write those again that differ, until all are equal.

        Raise VerificationError after `MAX_ATTEMPTS`.
        """
        place = f"{self.session.venue} {self.session.date} {resolution.value}"
        for attempt in range(1, MAX_ATTEMPTS + 1):
            wrong, read = self._differences(resolution, expected)
            if not len(wrong):
                return
            logger("publish").warning("rows read back differ", where=place, rows=len(wrong))
            if attempt < MAX_ATTEMPTS:
                self.sleep(LATE_WRITE_S)
                self._write_again(resolution, wrong, is_sealed=expected.is_sealed)
        raise VerificationError(
            f"{len(wrong)} of {len(expected.rows)} {resolution.value} bars read back differ, first "
            f"wrote {next(bars_of(wrong))}, read {next(bars_of(read), None)}, {MAX_ATTEMPTS} times "
            "in a row; is another writer at work?"
        )

    def _write_again(self, resolution: Resolution, rows: pa.Table, *, is_sealed: bool) -> None:
        self._store(resolution, _unsealed(rows), BARS.fields)
        if is_sealed:
            self.sleep(self.seal_delay_s)
            self._store(resolution, rows, SEAL)

    def _differences(
        self, resolution: Resolution, expected: "_Expected"
    ) -> tuple[pa.Table, pa.Table]:
        """Return the expected rows that differ when read back, and the rows read in their place.

        Reads the rows of the symbols only whose digest, or whose count of final rows, differs.
        """
        suspect = self._suspect(resolution, expected)
        if not suspect:
            return expected.rows.slice(0, 0), expected.rows.slice(0, 0)
        window = self.session.start_ns, self.session.end_ns
        read = self.store.read_table(
            resolution, *window, venue=self.session.venue, symbols=sorted(suspect)
        )
        wanted = of_symbols(expected.rows, suspect)
        read = read.take(matches(wanted, read))
        wrong = pc.invert(same_rows(wanted, read))
        read = read.filter(wrong)
        return wanted.filter(wrong), read.filter(pc.is_valid(read.column("symbol")))

    def _suspect(self, resolution: Resolution, expected: "_Expected") -> set[str]:
        window = resolution, self.session.venue, self.session.start_ns, self.session.end_ns
        suspect = set()
        if folded := expected.folded:
            found = self.store.digests(*window, symbols=sorted(folded))
            suspect |= {name for name, wanted in folded.items() if sums(found.get(name)) != wanted}
        if counted := expected.counted:
            final = self.store.final_counts(*window, symbols=sorted(counted))
            suspect |= {name for name, wanted in counted.items() if final.get(name, 0) != wanted}
        return suspect


@dataclass(frozen=True, slots=True)
class _Expected:
    """Rows after a step, and what the database must report for their symbols: a digest, or only the
    count of final rows.
    """

    rows: pa.Table
    digests: Mapping[str, Digest]
    """The sums of all rows of these symbols, once sealed."""
    finals: Mapping[str, int]
    """How many of the rows of a symbol the seal makes final."""
    rewritten: frozenset[str]
    """The symbols that had rows with other values, to which a row could revert."""
    is_sealed: bool = False

    @property
    def folded(self) -> dict[str, Digest]:
        """Return the digest of each symbol that must be compared by its digest."""
        if self.is_sealed:
            return {name: self.digests[name] for name in self.digests if name in self.rewritten}
        return {
            name: replace(digest, final=digest.final - self.finals[name])
            for name, digest in self.digests.items()
        }

    @property
    def counted(self) -> dict[str, int]:
        """Return the count of final rows of each symbol for which that is enough: its values were
        compared before the seal, which writes no value.
        """
        if not self.is_sealed:
            return {}
        others = self.digests.keys() - self.rewritten
        return {name: self.digests[name].final for name in others}

    def sealed(self) -> "_Expected":
        """Return what is expected after the seal."""
        return replace(self, rows=with_values(self.rows, final=True), is_sealed=True)


def _expected(
    parts: Sequence[Edits],
    resolution: Resolution,
    served: Mapping[str, Mapping[Resolution, Digest]],
) -> _Expected:
    after = concat([part.after for part in parts])
    replaced = concat([part.replaced for part in parts])
    come, gone = digests_of(after), digests_of(replaced)
    digests = {
        symbol: plus(
            plus(sums(served.get(symbol, {}).get(resolution)), sums(gone.get(symbol)), sign=-1),
            sums(digest),
        )
        for symbol, digest in come.items()
    }
    finals = {symbol: digest.final for symbol, digest in come.items()}
    return _Expected(_unsealed(after), digests, finals, frozenset(gone))


def _unsealed(bars: pa.Table) -> pa.Table:
    return with_values(bars, final=False)
