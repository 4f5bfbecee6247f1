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

from airflow.sdk import DAG, Param, task

from truetape.schedule import dag_names, speed_tasks
from truetape.schedule.defaults import Tag, asked_by, default_args

with DAG(
    dag_names.SPEED_LAYER_CONTROL,
    schedule=None,
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=10),
    default_args=default_args(),
    tags=[Tag.SPEED],
    doc_md=__doc__,
    params={
        "action": Param(
            "start",
            type="string",
            enum=list(speed_tasks.ORDERS),
            title="Order",
            description="start also gives a new beginning after the supervisor gave up.",
        ),
        "reason": Param(
            None,
            type="string",
            minLength=3,
            maxLength=200,
            title="Reason",
            description="Kept with the order, and shown to whoever asks why.",
        ),
    },
):

    @task(retries=0, execution_timeout=timedelta(minutes=2))
    def order(*, params: Any = None, dag_run: Any = None) -> dict[str, Any]:
        """Write the order."""
        who = asked_by(dag_run)
        return speed_tasks.order(params["action"], params["reason"], who)

    @task(execution_timeout=timedelta(minutes=2))
    def step(given: dict[str, Any]) -> dict[str, Any]:
        """Take the first step towards it."""
        return given | speed_tasks.supervise()

    step(order())
