"""Text printers of Chinese panels: GST 9000, Leader LD128E(N) and what prints like them. Received only.

The published lines name the GST 9000; their shape is also that of the LD128E(N) port: no brand is inferred.
"""

from __future__ import annotations

from edge_agents.panels.text import TextReceiver, load_patterns


def new_esc_printer(patterns: str = "esc", *, many_controllers: bool = False) -> TextReceiver:
    """A receiver with a shipped set: `esc` (ESC fonts, empty line after an event), `generic` (keywords only),
    `event_line` (`事件:` lines of Tanda and Sanjiang). Raises ConfigError for another name."""
    return TextReceiver(load_patterns(patterns), many_controllers=many_controllers)
