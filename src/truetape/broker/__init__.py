"""Kafka: clients, topics, producer, control topic, offsets, dead letters."""
