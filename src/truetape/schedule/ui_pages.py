"""The pages that truetape adds to the Airflow UI: their paths and the menu entry.

Imports nothing of Airflow; `console` serves the pages.
"""

PREFIX = "/truetape"
PAGES = {"overview": "", "market": "market", "drift": "drift", "quality": "quality",
         "backfill": "backfill"}  # fmt: skip
"""The path of each page below the console's root, by its name."""
CONSOLE_VIEW = {
    "name": "truetape",
    "href": "truetape/",
    "destination": "nav",
    "nav_top_level": True,
    "icon": "truetape/files/icon.svg",
    "icon_dark_mode": "truetape/files/icon-dark.svg",
    "url_route": "truetape",
}
"""The entry of Airflow's menu; the pages have a menu of their own. An `href` without a leading
slash works below any prefix."""
RUN_VIEW = {
    "name": "Quality reports",
    "href": "truetape/quality/run?dag={DAG_ID}&run={RUN_ID}&in_tab=true",
    "destination": "dag_run",
    "url_route": "truetape-run-quality",
}
"""A tab on the page of every DAG run. Airflow inserts the ids, encoded for a query."""


def page_in_airflow(path: str = "") -> str:
    """Return the address of a page within Airflow's frame, below Airflow's own address.

    It signs the reader in first, where the page's own address only answers 401.
    """
    return f"plugin/{CONSOLE_VIEW['url_route']}/{PREFIX.strip('/')}/{path}"
