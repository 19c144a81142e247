"""The owner of a panel's printer port: bytes in, nothing ever out."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable

import serial

from contract.errors import RetryLater
from contract.site import PrinterLine
from edge_agents.bus.line import BACKOFF_S, DOWN_AFTER
from edge_agents.bus.presence import LinePresence
from edge_agents.drivers.printer import PrinterDecoder
from edge_agents.panel_report import PanelReport
from edge_agents.reporting import Reports

log = logging.getLogger(__name__)
QUIET_S = 2.0
"""An event without an end counts as ended after this much silence."""
REFRESH_S = 10.0
BUFFER_BOUND = 64 * 1024
"""Bytes taken from the port and not yet decoded; beyond it they wait in the kernel."""


class ListeningLine:
    """Listens to one printer port for ever.

    Args:
        line: the port.
        decoder: of its panel's profile.
        report: of its panel.
        record: takes reports; never waits.
        now_ms: wall clock.
        monotonic: seconds.
    """

    def __init__(
        self,
        line: PrinterLine,
        decoder: PrinterDecoder,
        report: PanelReport,
        record: Callable[[Reports], None],
        now_ms: Callable[[], int],
        monotonic: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._uniform = uniform
        self.id = line.id
        self._line = line
        self._decoder = decoder
        self._report = report
        self._record = record
        self._now_ms = now_ms
        self._monotonic = monotonic
        self._buffer = bytearray()
        self._came = asyncio.Event()
        self._lost: str | None = None
        self._opened = self._bytes = self._events = 0
        self.presence = LinePresence(line.id, record, now_ms)
        """Whether the line can be reached."""
        self.is_open = False

    def request(self, device_id: str | None) -> None:
        """Nothing to ask: a printer port is only listened to."""

    def status(self) -> dict[str, object]:
        """Counters for the status file."""
        return {"open": self.is_open, "opened": self._opened, "bytes": self._bytes, "events": self._events}

    async def run(self) -> None:
        """Listen until cancelled."""
        failures, pause_s = 0, BACKOFF_S[0]
        while True:
            try:
                port = await asyncio.to_thread(self._open)
                try:
                    if failures >= DOWN_AFTER:
                        log.info("line %s: open again", self.id)
                    failures, pause_s, self.is_open = 0, BACKOFF_S[0], True
                    self._opened += 1
                    self.presence.say(True)
                    self._record(self._report.opened(self._now_ms()))
                    await self._listen(port)
                finally:
                    self.is_open = False
                    port.close()
            except RetryLater as exc:
                failures += 1
                if failures == DOWN_AFTER:
                    log.warning("%s", exc)
                if failures >= DOWN_AFTER:
                    self.presence.say(False)
                    self._record(self._report.line_down(self._now_ms()))
            await asyncio.sleep(pause_s * self._uniform(0.75, 1.0))
            pause_s = min(pause_s * 2, BACKOFF_S[1])

    def _open(self) -> serial.Serial:
        line = self._line
        try:
            return serial.Serial(
                line.port, line.baud, parity=line.parity, stopbits=line.stop_bits, timeout=0, exclusive=True
            )
        except (OSError, ValueError) as exc:  # SerialException is an OSError; ValueError: a baud it cannot set
            raise RetryLater(f"line {line.id}: {exc}. Check cable and port; trying again.") from exc

    async def _listen(self, port: serial.Serial) -> None:
        """Until the port is lost."""
        loop = asyncio.get_running_loop()
        self._lost = None
        self._came.clear()
        self._buffer.clear()
        refresh_at_s = self._monotonic() + REFRESH_S
        loop.add_reader(port.fileno(), self._take, port)
        try:
            while self._lost is None or self._buffer:
                try:
                    async with asyncio.timeout(QUIET_S if self._decoder.is_within_event else REFRESH_S):
                        await self._came.wait()
                except TimeoutError:
                    self._hand_on(flush=True)
                self._came.clear()
                if self._buffer:
                    self._hand_on(flush=False)
                    if self._lost is None:
                        loop.add_reader(port.fileno(), self._take, port)
                if self._monotonic() >= refresh_at_s:
                    refresh_at_s = self._monotonic() + REFRESH_S
                    self._record(self._report.refresh(self._now_ms()))
                    self.presence.repeat()
        finally:
            loop.remove_reader(port.fileno())
        self._hand_on(flush=True)
        log.debug("line %s: %s", self.id, self._lost)

    def _hand_on(self, *, flush: bool) -> None:
        data, self._buffer = bytes(self._buffer), bytearray()
        self._bytes += len(data)
        if data:
            self._record(self._report.heard(self._now_ms()))
        events = self._decoder.feed(data)
        if flush:
            events += self._decoder.flush()
        self._events += len(events)
        for event in events:
            self._record(self._report.printed(event, self._now_ms()))

    def _take(self, port: serial.Serial) -> None:
        """Called by the loop when bytes wait."""
        try:
            data = port.read(4096)
        except OSError as exc:
            self._lost, data = str(exc), b""
        self._buffer += data
        if self._lost is not None or len(self._buffer) >= BUFFER_BOUND:
            asyncio.get_running_loop().remove_reader(port.fileno())
        self._came.set()
