"""
### What it does
Supervises the speed layer, which serves provisional bars. Each run reads the layer's order,
heartbeat and progress, and takes one step: start, replace, adopt or stop a driver, or do nothing.
The asset `speed_layer_step` starts a run within seconds when a step is due; the schedule starts one
every five minutes in any case.

### What a failure means
- `supervise` with "given up": drivers failed again and again, or a setting must be changed. There
  are no new provisional bars until somebody gives a new order (`speed_layer_control`).
- `supervise` with another message: Kafka could not be read, and nothing was done.

Final bars do not need the speed layer.

### Is a re-run safe?
Yes, at any time. Clearing or failing a run, or pausing this DAG, never stops the speed layer. While
the DAG is paused, nobody restarts a driver that dies.

### Runbook
[The speed layer does not serve](RUNBOOK.md#the-speed-layer-does-not-serve)
"""

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, AssetOrTimeSchedule, CronTriggerTimetable, task

from truetape.schedule import dag_names, speed_tasks
from truetape.schedule.assets import SPEED_STEP
from truetape.schedule.defaults import NO_BACKFILL, Tag, default_args, documentation

with DAG(
    dag_names.SPEED_LAYER,
    description="Supervises the speed layer, which serves provisional bars.",
    schedule=AssetOrTimeSchedule(
        timetable=CronTriggerTimetable("*/5 * * * *", timezone="UTC"), assets=[SPEED_STEP]
    ),
    catchup=False,
    allowed_run_types=NO_BACKFILL,
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=5),
    default_args=default_args(),
    tags=[Tag.SPEED],
    doc_md=documentation(__doc__),
):

    @task(retries=0, execution_timeout=timedelta(minutes=2))
    def supervise() -> dict[str, Any]:
        """Take one step; the next wake-up is the retry."""
        return speed_tasks.supervise()

    supervise()
