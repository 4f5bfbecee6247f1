"""The domain: trades, event time, eligibility, sessions and the one fold from trades to bars.

Imports the standard library only; it opens no file, asks no calendar and knows no server.
"""
