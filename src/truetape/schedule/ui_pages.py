"""The pages that truetape adds to the Airflow UI: their paths and menu entries.

Imports nothing of Airflow; `console` serves the pages.
"""

PREFIX = "/truetape"
PAGES = {"overview": "", "market": "market", "drift": "drift", "quality": "quality",
         "backfill": "backfill"}  # fmt: skip
"""The path of each page below the console's root, by its name."""
VIEWS = [
    {
        "name": f"truetape: {name}",
        "href": f"truetape/{path}",
        "destination": "nav",
        "category": "browse",
        "url_route": f"truetape-{name}",
    }
    for name, path in PAGES.items()
]
"""Entries of Airflow's menu. An `href` without a leading slash works below any prefix."""
RUN_VIEW = {
    "name": "Quality reports",
    "href": "truetape/quality/run?dag={DAG_ID}&run={RUN_ID}",
    "destination": "dag_run",
    "url_route": "truetape-run-quality",
}
"""A tab on the page of every DAG run. Airflow inserts the ids, encoded for a query."""
