"""Quality: what a recomputed session must keep to before its bars replace those that are served."""
