"""Deterministic simulation of a whole station: agents, broker, gateway, people's ways, on one thread and one seed."""
