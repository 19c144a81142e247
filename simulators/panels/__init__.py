"""Alarm panels that speak their makers' protocols, encoded from the vendors' papers without a line of the receivers."""
