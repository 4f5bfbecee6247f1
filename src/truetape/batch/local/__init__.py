"""The local engine: the batch layer's jobs in this process, without Java."""
