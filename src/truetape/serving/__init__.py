"""Serving: the bars that users read, in InfluxDB 2 or in one SQLite file, behind one contract.

Computes no bars and does not decide which are final. It stores each row exactly, or reports why it
cannot.
"""
