"""Layouts of written times: what the table of event times does not cover."""

import re

from hypothesis import given
from hypothesis import strategies as st

from truetape.market.time_layout import ISO, ISO_EXTENDED_UTC


@given(st.from_regex(ISO_EXTENDED_UTC, fullmatch=True))
def test_the_short_utc_layout_accepts_only_texts_that_iso_8601_accepts(raw: str) -> None:
    assert re.fullmatch(ISO.regex, raw)
