"""Write reports of a store that refused some rows."""

import pytest

from truetape.host.errors import VerificationError
from truetape.serving.store import DeadLine, WriteReport


def test_require_stored_counts_refused_rows_and_names_the_first() -> None:
    report = WriteReport(5, 3, (DeadLine("bar,symbol=A", "no time"), DeadLine("bar", "no tag")))

    with pytest.raises(VerificationError) as refused:
        report.require_stored("1m bars", "nothing was sealed")

    assert str(refused.value) == (
        "nothing was sealed: 2 of 5 1m bars were refused, first no time: bar,symbol=A"
    )
    with pytest.raises(VerificationError, match=r"^2 of 5 1m bars were refused"):
        report.require_stored("1m bars")
    WriteReport(5, 5).require_stored("1m bars")  # all rows are stored: no error
