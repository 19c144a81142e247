"""Makes the line of a panel from its place in the site."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from contract.errors import ConfigError
from contract.site import PanelSerialLine, PanelTcpLine, Placed
from edge_agents.bus.panel import PanelLine
from edge_agents.bus.panel_tcp import PanelListener
from edge_agents.foreign.refused import RefusedFile
from edge_agents.panels.receiver import Receiver
from edge_agents.panels.report import PanelEvents
from edge_agents.reporting import Reported, Reports


def receiver_of(placed: Placed) -> Receiver:
    """The receiver of a panel as its profile and site say. Raises ConfigError for options that cannot be."""
    from edge_agents.panels.drivers import new_receiver  # with re2 behind it: 3 MB that an agent without panels saves

    panel = placed.profile.panel
    assert panel is not None
    options: dict[str, Any] = dict(panel.options)
    if panel.driver == "gst_crt" and placed.entry.unit_id is not None:
        options["controller"] = placed.entry.unit_id
    try:
        return new_receiver(panel.driver, options)
    except ConfigError as exc:
        raise ConfigError(f"device {placed.entry.id}, profile {placed.profile.id}: {exc}") from exc


def new_panel_line(
    placed: Placed,
    kept: Mapping[str, Reported],
    record: Callable[[Reports], None],
    is_durable: Callable[[], bool],
    now_ms: Callable[[], int],
    data_dir: Path,
) -> PanelLine | PanelListener:
    """The line of one panel, with what was last reported of it. Raises ConfigError for options that cannot be."""
    panel, line = placed.profile.panel, placed.line
    assert panel is not None
    receiver = receiver_of(placed)
    refused, device = RefusedFile(data_dir, line.id), placed.entry.id

    def keep_unread(at_ms: int, why: str, data: bytes) -> None:
        refused.add(at_ms, device, why, data)

    report = PanelEvents(device, panel, placed.profile.max_silence_s, keep_unread)
    report.restore(kept)
    if isinstance(line, PanelSerialLine):
        return PanelLine(line, receiver, report, record, is_durable, now_ms, refused=refused)
    assert isinstance(line, PanelTcpLine)
    return PanelListener(line, receiver, report, record, is_durable, now_ms, refused=refused)
