"""Feeds: contracts as data, the two decoders, file readers, the producer and the simulator."""
