"""Campaigns on simulated lines: late answers, noise, foreign frames, unplugging, dead units; how close to the wire."""
