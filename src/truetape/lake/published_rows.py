"""Which sessions the lake still has as they were published. Reads ledgers only, no bars."""

from datetime import date

from truetape.lake.bars_lineage import newest_bars_versions
from truetape.lake.publications import newest_publications


def published_revs(lake: str, venue: str) -> dict[date, int]:
    """Return the rev of each session of a venue whose bars and trades in the lake are those of its
    newest publication.

    A session is left out that was recomputed since then, or whose publication was a revert.
    """
    versions = newest_bars_versions(lake, venue)
    return {
        newest.session: newest.rev
        for newest in newest_publications(lake, venue)
        if not newest.restores
        and newest.session in versions
        and versions[newest.session] <= newest.bars_version
    }
