"""The overview page: are the served bars complete, and if not, what is wrong where?

Only prepares what is shown: `pipeline.fact_reader` reads, and `pipeline.judgement` judges.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from truetape.host import runbook
from truetape.host.settings import Settings
from truetape.lake.publications import Publication
from truetape.pipeline.facts import DagFacts, Facts, LedgerFacts, Part
from truetape.pipeline.judgement import Concern, Judgement, judge

MAX_PUBLICATIONS = 10


@dataclass(frozen=True, slots=True)
class OverviewPage:
    """What the template needs beside the facts. `manual` is the runbook's address without a
    section: below the console's root unless a setting names another.
    """

    judgement: Judgement
    publications: Sequence[Publication]
    supervision: str
    archive_dag: DagFacts | None
    manual: str

    def section(self, concern: Concern) -> str:
        """Return the anchor of a concern's section in the runbook."""
        return runbook.anchor(concern.kind.value)


def page(settings: Settings, facts: Facts) -> OverviewPage:
    """Judge the facts, and choose the publications to list: the newest, newest first."""
    newest = facts.ledger.newest if isinstance(facts.ledger, LedgerFacts) else ()
    published = sorted(newest, key=lambda entry: entry.published_ns, reverse=True)
    return OverviewPage(
        judge(facts),
        published[:MAX_PUBLICATIONS],
        _supervision(facts.dag_of(Part.SUPERVISION)),
        facts.dag_of(Part.ARCHIVE),
        settings.runbook_url,
    )


def _supervision(dag: DagFacts | None) -> str:
    if dag is None or not dag.is_known:
        return "unknown"
    return "paused" if dag.is_paused else "on"
