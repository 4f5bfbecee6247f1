"""Reconcile: make the served bars equal the recomputed ones, and say up to where they are final."""
