"""The owner of a panel's serial port: bytes in, and out only what the protocol's list has."""

from __future__ import annotations

import asyncio
import logging
import random
import termios
import time
from collections.abc import Callable

import serial

from contract.errors import RetryLater
from contract.site import PanelSerialLine
from edge_agents.bus.line import BACKOFF_S, DOWN_AFTER
from edge_agents.bus.panel_session import PanelSession
from edge_agents.bus.presence import LinePresence
from edge_agents.foreign.refused import RefusedFile
from edge_agents.panels.receiver import Receiver, Transmission
from edge_agents.panels.report import PanelEvents
from edge_agents.reporting import Reports

log = logging.getLogger(__name__)
REFRESH_S = 1.0
CMSPAR = 0o10000000000
"""Flag of mark and space parity in Linux; `termios` does not name it."""
READ_BYTES = 1024
BUFFER_BOUND = 16 * 1024
"""Bytes taken from the port and not yet decoded; beyond it they wait in the kernel."""


class PanelPort:
    """One serial port, opened and written blocking; used from a thread except for reading."""

    def __init__(self, line: PanelSerialLine) -> None:
        self._line = line
        self._port: serial.Serial | None = None

    def open(self) -> int:
        """Open it; returns the descriptor to watch. Raises RetryLater."""
        line = self._line
        try:
            self._port = serial.Serial(
                line.port, line.baud, parity=line.parity, stopbits=line.stop_bits, timeout=0, exclusive=True
            )
        except (OSError, ValueError, termios.error) as exc:  # SerialException is an OSError; others: a baud or parity
            raise RetryLater(f"line {line.id}: {exc}. Check cable and port; trying again.") from exc
        descriptor: int = self._port.fileno()
        return descriptor

    def read(self) -> bytes:
        """What waits, without waiting. Raises OSError when the port is gone."""
        assert self._port is not None
        data: bytes = self._port.read(READ_BYTES)
        return data

    def write(self, data: bytes, mark: bool | None) -> None:
        """Send all of it, with the ninth bit set (True), clear (False) or none of it. Raises RetryLater."""
        assert self._port is not None
        try:
            if mark is not None:
                # The UART takes the parity of the moment a byte leaves: drain before it changes, and after.
                self._port.flush()
                self.switch_parity(self._port, mark=mark)
            self._port.write(data)
            self._port.flush()
        except (OSError, ValueError, termios.error) as exc:
            what = "cannot send" if mark is None else "cannot send with mark or space parity"
            raise RetryLater(
                f"line {self._line.id}: {what}: {exc}. Use a port that can, or mend the cable; trying again."
            ) from exc

    def switch_parity(self, port: serial.Serial, *, mark: bool) -> None:
        """Set the ninth bit of what is sent from now on. Raises ValueError when the port does not do it."""
        port.parity = serial.PARITY_MARK if mark else serial.PARITY_SPACE
        # A driver without it takes the setting and leaves it out: the panel would never hear its address.
        if not termios.tcgetattr(port.fileno())[2] & CMSPAR:
            raise ValueError("the port does not know mark and space parity")

    def close(self) -> None:
        """Close it. Idempotent."""
        if self._port is not None:
            self._port.close()
            self._port = None


class PanelLine:
    """Listens to one panel for ever, and polls and acknowledges where its protocol wants it.

    Args:
        line: the port.
        receiver: of the panel's protocol.
        report: of the panel.
        record: takes reports; never waits.
        is_durable: whether everything recorded so far is on disk.
        now_ms: wall clock.
        monotonic: seconds.
        new_port: makes the port.
        refused: where what cannot be read is kept; written here.
    """

    def __init__(
        self,
        line: PanelSerialLine,
        receiver: Receiver,
        report: PanelEvents,
        record: Callable[[Reports], None],
        is_durable: Callable[[], bool],
        now_ms: Callable[[], int],
        monotonic: Callable[[], float] = time.monotonic,
        new_port: Callable[[PanelSerialLine], PanelPort] = PanelPort,
        refused: RefusedFile | None = None,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._uniform = uniform
        self.id = line.id
        self._port = new_port(line)
        self._refused = refused
        self._report = report
        self._record = record
        self._now_ms = now_ms
        self._monotonic = monotonic
        self._session = PanelSession(receiver, report, record, is_durable, now_ms, monotonic)
        self._buffer = bytearray()
        self._came = asyncio.Event()
        self._lost: str | None = None
        self._opened = 0
        self.presence = LinePresence(line.id, record, now_ms)
        """Whether the line can be reached."""
        self.is_open = False

    def request(self, device_id: str | None) -> None:
        """Nothing to ask: a panel is asked as often as its protocol says, or not at all."""

    def status(self) -> dict[str, object]:
        """Counters for the status file; `unread` is the last that could not be decoded, in hex."""
        return {
            "open": self.is_open,
            "opened": self._opened,
            "sent": self._session.sent,
            "unacknowledged": self._session.unacknowledged,
            **self._report.counts,
            "unread": self._report.unread.hex(),
        }

    async def run(self) -> None:
        """Listen until cancelled."""
        failures, pause_s = 0, BACKOFF_S[0]
        while True:
            try:
                try:
                    descriptor = await asyncio.to_thread(self._port.open)
                    if failures >= DOWN_AFTER:
                        log.info("line %s: open again", self.id)
                    self.is_open = True
                    self._opened += 1
                    self.presence.say(True)
                    self._record(self._report.opened(self._now_ms()))
                    await self._listen(descriptor)
                    failures, pause_s = 0, BACKOFF_S[0]
                finally:
                    self.is_open = False
                    self._port.close()
            except RetryLater as exc:
                failures += 1
                if failures == DOWN_AFTER:
                    log.warning("%s", exc)
                if failures >= DOWN_AFTER:
                    self.presence.say(False)
                    self._record(self._report.line_down(self._now_ms()))
            await asyncio.sleep(pause_s * self._uniform(0.75, 1.0))
            pause_s = min(pause_s * 2, BACKOFF_S[1])

    async def _listen(self, descriptor: int) -> None:
        """Until the port is lost."""
        loop, session = asyncio.get_running_loop(), self._session
        self._lost = None
        self._buffer.clear()
        self._came.clear()
        refresh_at_s = self._monotonic() + REFRESH_S
        loop.add_reader(descriptor, self._take, descriptor)
        try:
            while self._lost is None or self._buffer:
                if self._lost is None:
                    await session.transmit(self._write)
                try:
                    async with asyncio.timeout(min(session.wait_s, REFRESH_S)):
                        await self._came.wait()
                except TimeoutError:
                    pass
                self._came.clear()
                if self._buffer:
                    data, self._buffer = bytes(self._buffer), bytearray()
                    session.take(data)
                    if self._lost is None:
                        loop.add_reader(descriptor, self._take, descriptor)
                session.look()
                if self._monotonic() >= refresh_at_s:
                    refresh_at_s = self._monotonic() + REFRESH_S
                    self._record(self._report.tick(self._now_ms()))
                    self.presence.repeat()
                    if self._refused is not None:
                        await self._refused.settle()
        finally:
            loop.remove_reader(descriptor)
        session.look(is_closing=True)
        log.debug("line %s: %s", self.id, self._lost)

    async def _write(self, transmission: Transmission) -> None:
        await asyncio.to_thread(self._port.write, transmission.data, transmission.mark)

    def _take(self, descriptor: int) -> None:
        """Called by the loop when bytes wait."""
        try:
            data = self._port.read()
        except OSError as exc:
            self._lost, data = str(exc), b""
        self._buffer += data
        if self._lost is not None or len(self._buffer) >= BUFFER_BOUND:
            asyncio.get_running_loop().remove_reader(descriptor)
        self._came.set()
