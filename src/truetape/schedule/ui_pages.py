"""The pages that truetape adds to the Airflow UI: their paths, and the entries of its menu."""

PREFIX = "/truetape"
PAGES = {"overview": "", "market": "market", "drift": "drift", "quality": "quality",
         "backfill": "backfill"}  # fmt: skip
"""Each page by its name, and its path below the console's root."""
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
"""Entries of Airflow's menu; `href` without a leading slash works below any prefix."""
RUN_VIEW = {
    "name": "Quality reports",
    "href": "truetape/quality/run?dag={DAG_ID}&run={RUN_ID}",
    "destination": "dag_run",
    "url_route": "truetape-run-quality",
}
"""A tab on the page of every DAG run. Airflow puts the ids in, encoded for a query."""
