"""GST (海湾): CRT port, panel network, micro printer."""

from __future__ import annotations

from simulators.panels.panel import SimulatedPanel, checksum

IDLE = bytes.fromhex("F0F0BB")
SYNC = bytes.fromhex("AA081221122118")


def crt_frame(head: str, code: str, kind: int, *states: int) -> bytes:
    """`0D DD a b c t st cs BB`; code: six digits, kind: decimal."""
    body = bytes.fromhex(code) + bytes.fromhex(f"{kind:02d}") + bytes(states)
    total = checksum(body)
    return bytes.fromhex(head) + body + bytes((0xB5 if total == 0xBB else total, 0xBB))


class GstCrtPanel(SimulatedPanel):
    """Speaks only when its address was called with the ninth bit set; sends a frame again until it was taken."""

    def __init__(self, address: int = 1) -> None:
        super().__init__()
        self._address = address
        self._is_called = False
        self._told: bytes | None = None

    def hear(self, data: bytes, *, mark: bool) -> bytes:
        """Call, read, taken; every other byte is one a gateway must not send."""
        self.heard += data
        said = b""
        for byte in data:
            if mark and byte in (self._address, 0):
                if byte == self._address:
                    self._is_called = True
                    said += bytes((byte,))
            elif not mark and byte == 0x0F and self._is_called:
                self._is_called = False
                again = self._told is not None
                self._told = self._told or (self.queue[0] if self.queue else IDLE)
                said += _as_repeat(self._told) if again else self._told
            elif not mark and byte == 0x1F:
                if self._told is not None and self._told != IDLE and self.queue:
                    self.queue.popleft()
                self._told = None
            else:
                self.forbidden.append(byte)
        return said

    def push(self, elapsed_s: float) -> bytes:  # noqa: ARG002  # it keeps no time
        """Nothing: it waits to be called."""
        return b""


def _as_repeat(frame: bytes) -> bytes:
    first = {0x0D: 0xFD, 0x0E: 0xFE, 0x09: 0xF9, 0x0A: 0xFA}.get(frame[0], frame[0])
    return bytes((first,)) + frame[1:]


def net_frame(event: int, code: str, kind: int, place: str) -> bytes:
    """A frame of the panel network; place: up to seven characters."""
    text = b"".join(_quwei(letter) for letter in place.ljust(7)[:7])
    data = bytes((0xAA, event)) + bytes.fromhex(code) + bytes((kind, 0x45, 0x00, 0x02)) + text
    return data + bytes((checksum(data),))


def _quwei(letter: str) -> bytes:
    raw = letter.encode("gb2312")
    return b"\0" + raw if len(raw) == 1 else bytes(int(str(byte - 0xA0), 16) for byte in raw)


class GstNetworkPanel(SimulatedPanel):
    """Sends each frame three times."""

    repeats = 3


def printer_frame(month: int, day: int, time: str, event: int, point: str, device: int) -> bytes:
    """What the micro printer gets for one event, behind a run of filler."""
    head = b"*" * 15 + b"\r" + f"{month:02d}".encode() + b"\x8d" + f"{day:02d}".encode() + b"\x8e   " + time.encode()
    return head + b"\r\n" + bytes((event,)) + b"\r" + point.encode() + b"\r\n " + bytes((device,)) + b"\r"
