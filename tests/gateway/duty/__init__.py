"""Shifts, duty checks, handover, log."""
