"""Pages and API of the registers, one module a topic: people, rosters, shifts, equipment, incidents, patrols, hazards.

Each has a `router`; what it shows of open rows comes from the live picture, what is closed from the ledger's reader.
"""
