"""The domain: trades, event time, eligibility, sessions and the reference fold of trades to bars.

Imports the standard library only. It opens no file and calls no calendar and no server.
"""
