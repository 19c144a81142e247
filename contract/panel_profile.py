"""The `panel:` section of a profile: which protocol an alarm panel speaks and how it is listened to."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from contract.configfile import Section
from contract.panel import PRIORITY, EventClass

Driver = Literal[
    "gst_crt", "gst_net", "gst_modbus", "gst_printer", "esc_printer", "jbf", "songjiang", "ld128e", "notifier",
    "sia_dc09",
]  # fmt: skip
Option = bool | int | str | dict[int, list[str]]
OPTIONS: dict[str, dict[str, type]] = {
    "gst_crt": {"calls": bool},
    "gst_net": {},
    "gst_modbus": {"layout": str},
    "gst_printer": {"glyphs": str, "more_events": dict},
    "esc_printer": {"patterns": str, "many_controllers": bool},
    "jbf": {"asks": bool, "many_controllers": bool},
    "songjiang": {"answers": bool, "many_controllers": bool},
    "ld128e": {"asks": bool},
    "notifier": {"patterns": str, "many_controllers": bool},
    "sia_dc09": {"many_accounts": bool, "insists_on_time": bool},
}
"""Options of each driver and their types."""
STATES = ("normal", *PRIORITY)
"""States a panel's point may have."""
UNCALLABLE = (0x0C, 0x0F, 0x1B, 0x1F, 0x5F)
"""Controller addresses a `gst_crt` panel must not have: calling them would send a byte that controls it."""


class Panel(Section):
    """An alarm panel by its protocol. Nothing is sent but what the protocol needs to be told anything at all."""

    driver: Driver
    """Protocol."""
    options: dict[str, Option] = {}
    """Options of the driver."""
    silent_after_s: float | None = Field(default=None, gt=0, le=86400)
    """A panel that always says something is offline after so long without a good frame; nothing: it may be silent."""
    unreadable_after_s: float = Field(default=100.0, gt=0, le=3600)
    """Bytes without one good frame for so long are reported as unreadable."""
    reset_keeps: list[str] = ["disabled"]
    """Conditions of points that outlive a reset of the panel."""

    @model_validator(mode="after")
    def _known_options(self) -> Panel:
        known = OPTIONS[self.driver]
        for name, value in self.options.items():
            if name not in known:
                want = f"one of {', '.join(known)}" if known else "none"
                raise ValueError(f"options: got {name!r}, want {want} for {self.driver}.")
            if type(value) is not known[name]:
                raise ValueError(f"options.{name}: got {value!r}, want {known[name].__name__}.")
        for entries in self.options.values():
            if isinstance(entries, dict):
                odd = sorted({entry[0] if entry else "" for entry in entries.values()} - set(EventClass))
                if odd:
                    raise ValueError(f"options.more_events: got {odd}, want classes of {', '.join(EventClass)}.")
        odd = sorted(set(self.reset_keeps) - set(PRIORITY))
        if odd:
            raise ValueError(f"reset_keeps: got {odd}, want words of {', '.join(PRIORITY)}.")
        return self


class Transmitter(Section):
    """A user information transmission device that reports by GB/T 26875.3. Its points are those it tells of."""

    reset_keeps: list[str] = ["disabled"]
    """Conditions of points that outlive a reset."""


class TransmitterVector(Section):
    """Frozen example: these frames give these states and values."""

    hex: str
    states: dict[str, str]
    values: dict[str, float] = {}


class PanelVector(Section):
    """Frozen example: these bytes give these events; each names the fields of an event that matter."""

    hex: str
    events: list[dict[str, Any]]
