"""The batch layer: the lake, the archive, canonical trades and exact bars of whole sessions."""
