"""Stamps of records: which clock set them. Only those of the broker bound the times of a record."""

PRODUCER_STAMP = (
    " carries a stamp of its producer, which bounds no time; "
    'see "Stamps of producers" in docs/RUNBOOK.md'
)
"""What follows the place of a record in an error."""
BROKER_STAMP = 1
"""Kafka's number for a stamp that the broker set."""
