"""Links to sections of the runbook."""

from truetape.host.runbook import link
from truetape.host.settings import Settings


def test_a_link_leads_to_the_console_s_page_unless_a_setting_names_another() -> None:
    own = Settings.from_env({"TRUETAPE_AIRFLOW_PORT": "28080"})
    wiki = Settings.from_env({"TRUETAPE_RUNBOOK_URL": "https://wiki.example/RUNBOOK.md"})

    section = "Exit code 65: what was read back differs"
    fragment = "#exit-code-65-what-was-read-back-differs"
    assert link(own, section) == f"http://127.0.0.1:28080/truetape/runbook{fragment}"
    assert link(wiki, section) == f"https://wiki.example/RUNBOOK.md{fragment}"
