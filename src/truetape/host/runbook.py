"""Links to sections of the runbook. Reads no document."""

import re

from truetape.host.settings import Settings


def link(settings: Settings, section: str) -> str:
    """Return the absolute address of a section, by its heading such as "Closed gate".

    Without `TRUETAPE_RUNBOOK_URL` it is the page of the local Airflow, which asks for a login.
    """
    page = settings.runbook_url or f"http://127.0.0.1:{settings.airflow_port}/truetape/runbook"
    return f"{page}#{anchor(section)}"


def anchor(heading: str) -> str:
    """Return the anchor of a heading in plain text, as GitHub computes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
