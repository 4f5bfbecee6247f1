"""Feeds: contracts as data, their two decoders, file readers, producer, simulator."""
