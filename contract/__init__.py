"""What both sides of the wire agree on: messages, topics, quality, units, device profiles, sites.

A leaf: nothing here imports another package of the house, performs network I/O or reads a clock.
"""
