"""The jobs of a session in order: archive, recompute, gate, fence, publish, verify, repair."""
