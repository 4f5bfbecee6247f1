"""
### What it does
Supervises the speed layer, which serves provisional bars: looks at its order, its heartbeat and
its progress, and takes one step: start, replace, adopt or stop a driver, or leave it alone. Woken
within seconds when there is a step to take, and every five minutes in any case.

### What a failure means
`supervise` red with "given up": drivers failed again and again, or a setting must be changed; no
provisional bars come until somebody gives a new order (`speed_layer_control`). Red with another
message: Kafka could not be read, and nothing was done. Final bars do not need the speed layer.

### Is a re-run safe?
Yes, at any time. The run holds nothing: clearing it, marking it failed or pausing this DAG never
stops the stream. Paused means unsupervised, so a driver that dies stays dead.

### Runbook
`docs/RUNBOOK.md#the-speed-layer-does-not-serve`
"""

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, AssetOrTimeSchedule, CronTriggerTimetable, task

from truetape.schedule import dag_names, speed_tasks
from truetape.schedule.assets import SPEED_STEP
from truetape.schedule.defaults import Tag, default_args

with DAG(
    dag_names.SPEED_LAYER,
    schedule=AssetOrTimeSchedule(
        timetable=CronTriggerTimetable("*/5 * * * *", timezone="UTC"), assets=[SPEED_STEP]
    ),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=5),
    default_args=default_args(),
    tags=[Tag.SPEED],
    doc_md=__doc__,
):

    @task(retries=0, execution_timeout=timedelta(minutes=2))
    def supervise() -> dict[str, Any]:
        """Take one step; the next wake-up is the retry."""
        return speed_tasks.supervise()

    supervise()
