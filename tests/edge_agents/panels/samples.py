"""The published frames and how the tests feed them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from contract.panel import PanelEvent
from edge_agents.panels.drivers import new_receiver
from edge_agents.panels.receiver import Frame, Noise, Receiver

FRAMES: list[dict[str, Any]] = json.loads(Path(__file__).with_name("panel_frames.json").read_text("utf-8"))
"""Frames of real panels and vendors' papers, each with what stands in it."""
BY_DRIVER: dict[str, list[bytes]] = {}
for _entry in FRAMES:
    BY_DRIVER.setdefault(_entry["driver"], []).append(bytes.fromhex(_entry["hex"]))
BY_DRIVER["sia_dc09"] = [b"\n" + frame + b"\r" for frame in BY_DRIVER["sia_dc09"]]
BY_DRIVER["ld128e"] = [b"\x7f", bytes((0x01, 4, 5)), bytes((0x12, 0, 1)), bytes((0x50, 0, 0))]
BY_DRIVER["notifier"] = [
    f"{text:<80}\r\n".encode()
    for text in (
        "FIRE ALARM:  ACCESS HATCH        SMOKE(PHOTO)   09:30:17A TUE FEB 12, 2008  N001L01D003",
        "CLEARED TROUBLE IN SYSTEM         09:31:17A TUE FEB 12, 2008",
        "SYSTEM NORMAL                     09:32:17A TUE FEB 12, 2008",
    )
]
LISTENING: dict[str, dict[str, Any]] = {
    "gst_crt": {"calls": False}, "songjiang": {"answers": False}, "ld128e": {"asks": False}
}  # fmt: skip
NOW_MS = 1_700_000_000_000


def fresh(driver: str) -> Receiver:
    """A receiver that only listens."""
    return new_receiver(driver, LISTENING.get(driver))


def frames_of(items: list[Frame | Noise]) -> list[Frame]:
    """The good frames among them."""
    return [item for item in items if isinstance(item, Frame)]


def events_of(items: list[Frame | Noise]) -> list[PanelEvent]:
    """The events of the good frames."""
    return [event for frame in frames_of(items) for event in frame.events]


def read_all(driver: str, data: bytes) -> list[Frame | Noise]:
    """Everything a fresh receiver makes of these bytes."""
    receiver = fresh(driver)
    return receiver.feed(data, NOW_MS) + receiver.flush(NOW_MS)
