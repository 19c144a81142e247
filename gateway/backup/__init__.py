"""Backups: made while the gateway runs, checked, and restored on one that does not."""
