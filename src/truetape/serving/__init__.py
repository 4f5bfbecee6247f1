"""Serving: the bars that users read, in InfluxDB 2 or in one SQLite file, behind one contract.

Does not compute bars and does not decide what is final; it keeps exactly what it is given, or says
why not.
"""
