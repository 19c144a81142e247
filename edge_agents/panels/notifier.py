"""Notifier NFS2-3030, NCA2 and other western panels: lines of 80 or 160 columns from a printer port that only sends.

Keywords decide (FIRE ALARM, CLEARED FIRE ALARM, TROUBLE, ...), the longest first, so that what is cleared is not taken
for what came. Panels on a network may never print that something cleared; SYSTEM NORMAL and SYSTEM RESET end it.
"""

from __future__ import annotations

from edge_agents.panels.text import TextReceiver, load_patterns


def new_notifier(patterns: str = "notifier", *, many_controllers: bool = False) -> TextReceiver:
    """A receiver for lines in English; the panel's port must be set to send them."""
    return TextReceiver(load_patterns(patterns), many_controllers=many_controllers)
