"""What goes on between one panel's bytes and its reports, whatever carries them; the one gate for what is sent."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from contract.errors import DeviceError
from edge_agents.panels.receiver import Receiver, Transmission
from edge_agents.panels.report import PanelEvents
from edge_agents.reporting import Reports

log = logging.getLogger(__name__)
DURABLE_S = 0.45
"""Longest wait for an event to reach the disk before its acknowledgement is left out; the panel sends it again."""
_LOOK_S = 0.005


class PanelSession:
    """Feeds one receiver and sends what it owes.

    Args:
        receiver: of the panel's protocol.
        report: of the panel; several sessions of one panel share it.
        record: takes reports; never waits.
        is_durable: whether everything recorded so far is on disk.
        now_ms: wall clock.
        monotonic: seconds.
    """

    def __init__(
        self,
        receiver: Receiver,
        report: PanelEvents,
        record: Callable[[Reports], None],
        is_durable: Callable[[], bool],
        now_ms: Callable[[], int],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._receiver = receiver
        self._report = report
        self._record = record
        self._is_durable = is_durable
        self._now_ms = now_ms
        self._monotonic = monotonic
        self._heard_s: float | None = None
        self.sent = self.unacknowledged = 0

    @property
    def wait_s(self) -> float:
        """How long nothing has to be done if nothing comes."""
        receiver = self._receiver
        return min(receiver.tick_ms, receiver.quiet_ms if self._heard_s is not None else receiver.tick_ms) / 1000

    def take(self, data: bytes) -> None:
        """Bytes of the panel."""
        self._heard_s = self._monotonic()
        now_ms = self._now_ms()
        self._record(self._report.took(self._receiver.feed(data, now_ms), now_ms))

    def look(self, *, is_closing: bool = False) -> None:
        """A quiet line ends what was begun."""
        if self._heard_s is None:
            return
        if is_closing or (self._monotonic() - self._heard_s) * 1000 >= self._receiver.quiet_ms:
            self._heard_s = None
            now_ms = self._now_ms()
            self._record(self._report.took(self._receiver.flush(now_ms), now_ms))

    async def transmit(self, write: Callable[[Transmission], Awaitable[None]]) -> None:
        """Send what is due, through `write`, and nothing that the protocol's list does not have.

        Raises:
            DeviceError: `forbidden`; a fault of ours, nothing was sent.
        """
        for transmission in self._receiver.due(self._now_ms()):
            if not self._receiver.permits(transmission.data):
                raise DeviceError("forbidden", f"got {transmission.data[:32].hex()} to send, want bytes of its list")
            if transmission.must_be_durable and not await self._settled():
                self.unacknowledged += 1
                continue
            await write(transmission)
            self.sent += 1

    async def _settled(self) -> bool:
        until_s = self._monotonic() + DURABLE_S
        while not self._is_durable():
            if self._monotonic() >= until_s:
                return False
            await asyncio.sleep(_LOOK_S)
        return True
