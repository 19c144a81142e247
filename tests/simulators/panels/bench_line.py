"""A panel's line as the agent runs it, on a simulated panel, with everything it reported."""

from __future__ import annotations

import asyncio
import contextlib
import termios
import time
from pathlib import Path
from typing import Any, Self

import serial

from contract.panel import PanelEvent, decode_event
from contract.panel_profile import Panel
from contract.site import DeviceEntry, PanelSerialLine, PanelTcpLine
from edge_agents.bus.panel import CMSPAR, PanelLine, PanelPort
from edge_agents.bus.panel_tcp import PanelListener
from edge_agents.panels.drivers import new_receiver
from edge_agents.panels.report import PanelEvents
from edge_agents.reporting import Reports

DEVICES = [DeviceEntry(id="panel", profile="panel-jbf")]


def now_ms() -> int:
    """Wall clock, ms."""
    return time.time_ns() // 1_000_000


class PseudoPort(PanelPort):
    """A pseudo-terminal has no ninth bit and refuses one: the flags alone are set, for the panel to see."""

    def switch_parity(self, port: serial.Serial, *, mark: bool) -> None:
        """Mark or space, without PARENB."""
        attributes = termios.tcgetattr(port.fileno())
        attributes[2] = (attributes[2] & ~termios.PARODD) | CMSPAR | (termios.PARODD if mark else 0)
        termios.tcsetattr(port.fileno(), termios.TCSANOW, attributes)


class PlainPort(PanelPort):
    """A port whose driver takes mark parity and leaves it out, as many USB adapters do."""

    def switch_parity(self, port: serial.Serial, *, mark: bool) -> None:
        """What the agent finds when it looks whether the setting held."""
        raise ValueError("the port does not know mark and space parity")


class RunningLine:
    """`async with RunningLine(driver, where) as line`: where is a link to a terminal, or a free port."""

    def __init__(
        self,
        driver: str,
        where: Path | int,
        panel: Panel | None = None,
        *,
        new_port: type[PanelPort] = PseudoPort,
        **options: Any,
    ) -> None:
        self.readings: list[tuple[str, object, str]] = []
        self.events: list[PanelEvent] = []
        report = PanelEvents("panel", panel or Panel.model_validate({"driver": driver}), 600)
        receiver = new_receiver(driver, options)
        self.line: PanelLine | PanelListener
        if isinstance(where, Path):
            serial = PanelSerialLine(id="line", kind="panel_serial", port=str(where), baud=9600, devices=DEVICES)
            self.line = PanelLine(
                serial,
                receiver,
                report,
                self._record,
                lambda: True,
                now_ms,
                new_port=new_port,
            )
        else:
            tcp = PanelTcpLine(id="line", kind="panel_tcp", port=where, transport="both", devices=DEVICES)
            self.line = PanelListener(tcp, receiver, report, self._record, lambda: True, now_ms)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self.line.run(), name="panel line")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    @property
    def kinds(self) -> list[str]:
        """Classes of the events so far, `-` before what is over."""
        return [("-" if event.restored else "") + event.event for event in self.events]

    @property
    def last(self) -> dict[str, object]:
        """Last value of each point."""
        return {name: value for name, value, _ in self.readings if name != "event"}

    def _record(self, reports: Reports) -> None:
        for reading in reports.alarm:
            name = reading.point.partition("/")[2]
            self.readings.append((name, reading.value, reading.quality))
            if name == "event":
                self.events.append(decode_event(str(reading.value)))
