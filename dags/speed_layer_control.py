"""
### What it does
Gives the speed layer an order: start, stop or restart, with a reason. Kafka stores the order and
who gave it. The driver obeys after its batch, and the supervisor does the rest. The run
takes the first step itself, so that an order also works while `speed_layer` is paused.

### What a failure means
- `write_order`: the order could not be written to Kafka, so there is no order.
- `apply_order`: the order is valid, and the next run of `speed_layer` takes the step.

### Is a re-run safe?
Clearing `write_order` gives the same order again, which restarts a running driver.

### Runbook
[The speed layer does not serve](RUNBOOK.md#the-speed-layer-does-not-serve)
"""

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, task

from truetape.schedule import dag_names, speed_tasks
from truetape.schedule.defaults import Tag, default_args, documentation, triggered_by
from truetape.schedule.forms import speed_form

with DAG(
    dag_names.SPEED_LAYER_CONTROL,
    description="Starts, stops or restarts the speed layer.",
    schedule=None,
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=10),
    default_args=default_args(),
    tags=[Tag.SPEED],
    doc_md=documentation(__doc__),
    params=speed_form(),
):

    @task(retries=0, execution_timeout=timedelta(minutes=2))
    def write_order(*, params: Any = None, dag_run: Any = None) -> dict[str, Any]:
        """Write the order."""
        return speed_tasks.order(params["action"], params["reason"], triggered_by(dag_run))

    @task(execution_timeout=timedelta(minutes=2))
    def apply_order(given: dict[str, Any]) -> dict[str, Any]:
        """Take the first step towards the order."""
        return given | speed_tasks.supervise()

    apply_order(write_order())
