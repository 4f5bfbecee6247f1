"""
### What it does
Gives the speed layer an order: start, stop or restart, with a reason. The order and who gave it
are kept in Kafka; the driver follows it after its batch, the supervisor does the rest. The run
takes the first step itself, so that an order also works while `speed_layer` is paused.

### What a failure means
`order` red: Kafka could not be written, and there is no order. `step` red: the order stands, and
the next run of `speed_layer` takes the step.

### Is a re-run safe?
Clearing `order` gives the same order again: a restart where the driver runs.

### Runbook
`docs/RUNBOOK.md#the-speed-layer-does-not-serve`
"""

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, task

from truetape.schedule import dag_names, speed_tasks
from truetape.schedule.defaults import Tag, default_args, triggered_by
from truetape.schedule.forms import speed_form

with DAG(
    dag_names.SPEED_LAYER_CONTROL,
    schedule=None,
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=10),
    default_args=default_args(),
    tags=[Tag.SPEED],
    doc_md=__doc__,
    params=speed_form(),
):

    @task(retries=0, execution_timeout=timedelta(minutes=2))
    def order(*, params: Any = None, dag_run: Any = None) -> dict[str, Any]:
        """Write the order."""
        return speed_tasks.order(params["action"], params["reason"], triggered_by(dag_run))

    @task(execution_timeout=timedelta(minutes=2))
    def step(given: dict[str, Any]) -> dict[str, Any]:
        """Take the first step towards it."""
        return given | speed_tasks.supervise()

    step(order())
