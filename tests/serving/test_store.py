"""What becomes of a write that a store did not take whole."""

import pytest

from truetape.host.errors import VerificationError
from truetape.serving.store import DeadLine, WriteReport


def test_rows_that_were_refused_are_counted_and_the_first_is_named() -> None:
    report = WriteReport(5, 3, (DeadLine("bar,symbol=A", "no time"), DeadLine("bar", "no tag")))

    with pytest.raises(VerificationError) as refused:
        report.require_stored("1m bars", "nothing was sealed")

    assert str(refused.value) == (
        "nothing was sealed: 2 of 5 1m bars were refused, first no time: bar,symbol=A"
    )
    with pytest.raises(VerificationError, match=r"^2 of 5 1m bars were refused"):
        report.require_stored("1m bars")
    WriteReport(5, 5).require_stored("1m bars")  # all of them: nothing to say
