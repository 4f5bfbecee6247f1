"""Quality: the rules that recomputed bars must pass before they replace the served ones."""
