"""Signals that end a process in order."""

import subprocess
import sys

SIGNALLED = """
import io, os, signal
import pyarrow.csv
from truetape.host.process import event_of_signals

class Slow(io.BytesIO):
    def read(self, *size):
        os.kill(os.getpid(), signal.SIGTERM)
        return super().read(*size)

stop = event_of_signals()
table = pyarrow.csv.read_csv(Slow(b"a,b\\n1,2\\n"))
print(stop.is_set(), table.num_rows)
"""


def test_a_signal_in_the_middle_of_a_read_stops_the_driver_and_not_the_read() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SIGNALLED], check=False, capture_output=True, text=True
    )

    assert (done.stdout, done.returncode) == ("True 1\n", 0), done.stderr
