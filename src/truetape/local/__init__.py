"""The local stack: real Kafka and InfluxDB as child processes on loopback. No pipeline logic."""
