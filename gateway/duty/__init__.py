"""Duty: people, rosters, shifts, checks, handover, log, equipment of the station, readiness. Pure."""
