"""Songjiang JB-3208: frames with a CRC that want an acknowledgement within 500 ms, else they come again."""

from __future__ import annotations

from datetime import datetime

from simulators.panels.panel import SimulatedPanel

WAIT_S = 0.5


def modbus_crc(data: bytes) -> int:
    """CRC-16/MODBUS, bit by bit."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc // 2 ^ 0xA001 if crc % 2 else crc // 2
    return crc


def point_bytes(controller: int, loop: int, point: int, at: datetime, *, kind: int = 5, state: int = 1) -> bytes:
    """The 32 bytes of one point, without text."""
    time = bytes.fromhex(at.strftime("%y%m%d%H%M"))
    return bytes((controller, loop, point, 10, 0, kind, state)) + time + b"\xff" * 20


def songjiang_frame(controller: int, code: int, points: list[bytes], *, low_first: bool = True) -> bytes:
    """One frame; poll is code 100 without points."""
    body = (len(points).to_bytes(2, "little") + b"".join(points)) if points else b"\x64"
    inner = bytes((controller, code)) + len(body).to_bytes(2, "little") + body
    return b"\xfe" + inner + modbus_crc(inner).to_bytes(2, "little" if low_first else "big") + b"\xff"


class SongjiangPanel(SimulatedPanel):
    """Sends the first of its queue, and again each WAIT_S until it is acknowledged; polls when it has nothing."""

    def __init__(self, controller: int = 1, *, low_first: bool = True) -> None:
        super().__init__()
        self._acknowledgement = songjiang_frame(controller, 100, [], low_first=low_first)
        self._waited_s = WAIT_S
        self._heard = b""
        self.sent = self.acknowledged = 0

    def hear(self, data: bytes, *, mark: bool) -> bytes:  # noqa: ARG002  # no ninth bit on this line
        """An acknowledgement ends the wait; all else is forbidden."""
        self.heard += data
        self._heard += data
        while self._heard and self._acknowledgement.startswith(self._heard[: len(self._acknowledgement)]):
            if len(self._heard) < len(self._acknowledgement):
                return b""
            self._heard = self._heard[len(self._acknowledgement) :]
            self.acknowledged += 1
            self._waited_s = WAIT_S
            if self.queue:
                self.queue.popleft()
        self.forbidden += self._heard
        self._heard = b""
        return b""

    def push(self, elapsed_s: float) -> bytes:
        """The frame at the head of the queue, when it is due."""
        self._waited_s += elapsed_s
        if not self.queue or self._waited_s < WAIT_S:
            return b""
        self._waited_s = 0.0
        self.sent += 1
        return self.queue[0]
