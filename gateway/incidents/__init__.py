"""Incidents: what a fire sets going, from the first minute to the after-action sheet. Pure."""
