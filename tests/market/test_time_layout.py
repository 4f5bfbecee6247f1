"""The grammars of written times, where the table of values cannot reach."""

import re

from hypothesis import given
from hypothesis import strategies as st

from truetape.market.time_layout import ISO, ISO_EXTENDED_UTC


@given(st.from_regex(ISO_EXTENDED_UTC, fullmatch=True))
def test_the_short_way_for_utc_takes_nothing_that_iso_8601_does_not(raw: str) -> None:
    assert re.fullmatch(ISO.regex, raw)
