"""Tests of the process beside the equipment."""
