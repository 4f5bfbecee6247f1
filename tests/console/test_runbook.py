"""The runbook as a page of the console."""

import re
from pathlib import Path

from fastapi.testclient import TestClient

from support.html import Tags
from truetape.host.runbook import anchor

RUNBOOK = Path(__file__).parents[2] / "docs" / "RUNBOOK.md"


def test_each_section_of_the_runbook_has_an_anchor_that_links_lead_to(client: TestClient) -> None:
    page = Tags(client.get("/runbook").text)

    ids = {attributes.get("id") for _, attributes in page.tags}
    for heading in re.findall(r"^##+ (.+)$", RUNBOOK.read_text("utf-8"), re.MULTILINE):
        assert anchor(heading) in ids, heading
    assert {path for tag, attributes in page.tags if tag == "a"
            for path in [attributes["href"] or ""] if ".md" in path} == set()  # fmt: skip


def test_sections_tables_and_commands_of_the_runbook_are_shown(client: TestClient) -> None:
    text = " ".join(Tags(client.get("/runbook").text).text.split())

    assert "Closed gate" in text
    assert "truetape backfill --holes" in text
    assert "a setting, file or argument must be changed; a retry cannot help" in text
