"""Rows of the ledger of publications, with plain defaults."""

from dataclasses import replace
from datetime import date

from truetape.lake.publications import Publication

_FIRST = Publication(
    venue="XNYS",
    session=date(2026, 11, 20),
    rev=1,
    as_of_ns=1,
    published_ns=1,
    digest="d",
    bars=10,
    edits=10,
    voids=0,
    code_version="0",
    profile="sip",
    profile_version=1,
    bars_version=0,
    run_id="r",
    who="tests",
    reason="because",
)


def publication(rev: int, **values: object) -> Publication:
    """Return a publication of an XNYS session."""
    return replace(_FIRST, rev=rev, **values)  # type: ignore[arg-type]
