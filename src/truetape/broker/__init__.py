"""Kafka: clients, topics, producer, transactions, control topic, offsets, dead letters."""
