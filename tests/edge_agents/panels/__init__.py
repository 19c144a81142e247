"""Receivers, report and line of alarm panels."""
