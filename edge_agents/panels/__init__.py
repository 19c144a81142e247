"""Alarm panels: one receiver a protocol, from bytes to events. Pure; what may be sent is a list, tested as such."""
