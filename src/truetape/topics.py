"""The names of the Kafka topics beside the trades themselves, and the largest record they carry."""

REJECTED = "trades.rejected"
HEARTBEAT = "truetape.heartbeat"
CONTROL = "truetape.control"

MAX_RECORD_BYTES = 16_777_216
"""Largest record a topic of trades takes: a payload beyond every limit must still become a dead
letter with its bytes, so it has to fit through Kafka."""
