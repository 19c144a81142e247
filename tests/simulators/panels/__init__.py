"""Simulated panels against the receivers, over real lines."""
