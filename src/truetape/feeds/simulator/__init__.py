"""The simulator: a believable session of an exchange in the format of any feed, with its truth.

Sends nothing: `broker.producer` does.
"""
