"""The names of the Kafka topics beside the trades themselves, and the limits of their use."""

REJECTED = "trades.rejected"
HEARTBEAT = "truetape.heartbeat"
CONTROL = "truetape.control"

MAX_RECORD_BYTES = 16_777_216
"""Largest record a topic of trades takes: a payload beyond every limit must still become a dead
letter with its bytes, so it has to fit through Kafka."""

CONNECT_WITHIN_MS = 10_000
"""How long a reader of these topics tries to reach a first broker; the library's 30 s are too long
for whoever waits for an answer.
"""
