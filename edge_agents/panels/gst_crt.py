"""GST (海湾) CRT500 / GST-232 port: the panel speaks only when its address was called with the ninth bit set.

    us     (mark)  controller address, 00        panel  echoes the address
    us     (space) 0F                            panel  one frame of those below
    us     (space) 1F                            taken; without it the panel sends the frame again

    0D DD a b c t st cs BB      alarm or action; repeated as FD DD ...
    0E EE a b c t st cs BB      fault and isolation; FE EE ...
    09 99 a b c t st val cs BB  residual current; F9 99 ...
    FC CC a b c t st cs BB      test alarm;  FB BB a b c t st cs BB  loss of power of an output
    0A AA BB, FA AA BB          reset;  FA AB BB  silence;  F0 F0 BB  nothing to report
    CB CB st cs BB, FB CB ...   controller mode

a b c: secondary code in BCD. t: device type in BCD. cs: low byte of the sum from a to the byte before it; a sum of BB
is sent as B5. The port also takes bytes that reset, silence and start things: none of them can leave this module.
"""

from __future__ import annotations

from typing import Any, ClassVar

from contract.panel import MODE, EventClass, PanelEvent, code_address, raw_hex
from edge_agents.panels.receiver import Frame, FrameReceiver, Noise, Taken, Transmission, bcd
from edge_agents.panels.tables import UNKNOWN, Meaning, meanings, table, words

END = 0xBB
READ, TAKEN = b"\x0f", b"\x1f"
FORBIDDEN_ADDRESSES = frozenset({0x00, 0x0C, 0x0F, 0x1B, 0x1F, 0x5F})
"""A controller set to one of these could not be called without sending what controls a panel."""
CALL_MS = 500
"""Period of a call."""
ECHO_MS, ANSWER_MS = 300, 800
_FRAMES: dict[bytes, tuple[str, bool]] = {
    b"\x0d\xdd": ("alarm", False), b"\xfd\xdd": ("alarm", True),
    b"\x0e\xee": ("fault", False), b"\xfe\xee": ("fault", True),
    b"\x09\x99": ("residual_current", False), b"\xf9\x99": ("residual_current", True),
    b"\xfc\xcc": ("test", False), b"\xfb\xbb": ("power_loss", False),
    b"\xcb\xcb": ("mode", False), b"\xfb\xcb": ("mode", True),
}  # fmt: skip
_SHORT = {
    b"\x0a\xaa\xbb": ("reset", False), b"\xfa\xaa\xbb": ("reset", True), b"\xfa\xab\xbb": ("silence", False),
    b"\xf0\xf0\xbb": ("idle", False),
}  # fmt: skip
_SIZES = {"residual_current": 10, "mode": 5}
_FIRST_BYTES = frozenset(head[0] for head in [*_FRAMES, *_SHORT])


class GstCrtReceiver(FrameReceiver):
    """Calls one controller and takes what it reports.

    Args:
        controller: its address, 1..255, not one of FORBIDDEN_ADDRESSES.
        calls: False only listens (a capture, a tap on the line of another host).

    Raises:
        ValueError: an address that may not be called.
    """

    longest: ClassVar[int] = 10
    quiet_ms: ClassVar[int] = 200
    tick_ms: ClassVar[int] = 50

    def __init__(self, controller: int = 1, *, calls: bool = True) -> None:
        super().__init__()
        if not 1 <= controller <= 255 or controller in FORBIDDEN_ADDRESSES:
            refused = ", ".join(str(address) for address in sorted(FORBIDDEN_ADDRESSES))
            raise ValueError(f"controller: got {controller}, want 1..255 but none of {refused}. Set another address.")
        self._controller = controller
        self._calls = calls
        self._allowed = frozenset({bytes((controller, 0)), READ, TAKEN}) if calls else frozenset[bytes]()
        self._step = "rest"
        self._since_ms: int | None = None
        self._called_ms: int | None = None
        self._last_body: bytes | None = None

    def permits(self, data: bytes) -> bool:
        """The call of this controller, 0F and 1F."""
        return data in self._allowed

    def feed(self, data: bytes, now_ms: int) -> list[Frame | Noise]:
        """Frames; the echo of our call is taken off before them."""
        if self._step == "echo" and not self._buffer and self._controller in data[:2]:
            at = data.index(self._controller)
            self._step, self._since_ms = "read", now_ms
            # The panel may echo both bytes of the call.
            data = data[:at] + data[at + 1 :].removeprefix(b"\x00")
        items = super().feed(data, now_ms)
        if self._step == "answer" and any(isinstance(item, Frame) for item in items):
            self._step, self._since_ms = "take", now_ms
        return items

    def due(self, now_ms: int) -> list[Transmission]:
        """The next byte of the exchange: a call each CALL_MS, 0F after the echo, 1F after a good frame."""
        if not self._calls:
            return []
        if self._step == "read":
            self._step, self._since_ms = "answer", now_ms
            return [Transmission(READ, mark=False)]
        if self._step == "take":
            self._step = "rest"
            return [Transmission(TAKEN, mark=False, must_be_durable=True)]
        waited_ms = None if self._since_ms is None else now_ms - self._since_ms
        limit_ms = {"echo": ECHO_MS, "answer": ANSWER_MS}.get(self._step)
        if limit_ms is not None and waited_ms is not None and 0 <= waited_ms < limit_ms:
            return []
        self._step = "rest"
        if self._called_ms is not None and 0 <= now_ms - self._called_ms < CALL_MS:
            return []
        self._called_ms, self._step, self._since_ms = now_ms, "echo", now_ms
        return [Transmission(bytes((self._controller, 0)), mark=True)]

    def _take(self, buffer: bytes, at: int, now_ms: int) -> Taken | None:
        if buffer[at] not in _FIRST_BYTES:
            return Taken(1)
        if len(buffer) - at < 3:
            return None
        short = _SHORT.get(buffer[at : at + 3])
        if short is not None and self._is_after_noise and short[0] != "idle":
            # Three bytes without a checksum must not reset a panel from the midst of noise; it sends them again.
            return Taken(1, None, "unproven")
        if short is not None:
            return Taken(3, self._short(buffer[at : at + 3], *short, now_ms))
        known = _FRAMES.get(buffer[at : at + 2])
        if known is None:
            return Taken(1)
        size = _SIZES.get(known[0], 9)
        if len(buffer) - at < size:
            return None
        raw = buffer[at : at + size]
        if raw[-1] != END:
            return Taken(1, None, "bad_form")
        total = sum(raw[2:-2]) & 0xFF
        if raw[-2] != (0xB5 if total == END else total):
            return Taken(1, None, "bad_sum")
        frame = self._mode(raw, known[1], now_ms) if known[0] == "mode" else self._long(raw, *known, now_ms)
        return Taken(size, frame) if frame is not None else Taken(1, None, "bad_form")

    def _is_repeat(self, body: bytes, *, says_so: bool) -> bool:
        """A repeat is dropped only when its first send was taken; a lost first send leaves the repeat to tell."""
        is_repeat = says_so and body == self._last_body
        self._last_body = body
        return is_repeat

    def _short(self, raw: bytes, word: str, repeat: bool, now_ms: int) -> Frame:
        if word == "idle":
            return Frame(raw, {"event": "idle"}, [])
        if self._is_repeat(raw[1:], says_so=repeat):
            return Frame(raw, {"event": word}, [])
        event = PanelEvent(
            event=EventClass(word), received_ms=now_ms, controller=self._controller, raw=raw_hex(raw)
        )  # fmt: skip
        return Frame(raw, {"event": word}, [event])

    def _mode(self, raw: bytes, repeat: bool, now_ms: int) -> Frame:
        state = raw[2]
        names = (("自动", 0x80), ("手动", 0x40), ("气体允许", 0x20))
        text = " ".join(name for name, bit in names if state & bit)
        fields = {"frame": "mode", "repeat": repeat, "state": state, "event": "other", "automatic": bool(state & 0x80),
                  "manual": bool(state & 0x40), "gas_release_allowed": bool(state & 0x20)}  # fmt: skip
        event = PanelEvent(
            event=EventClass.OTHER, restored=not state & 0x40, received_ms=now_ms, controller=self._controller,
            address=MODE, text=f"控制方式 {text}", raw=raw_hex(raw),
        )  # fmt: skip
        return Frame(raw, fields, [] if self._is_repeat(raw[1:], says_so=repeat) else [event])

    def _long(self, raw: bytes, frame: str, repeat: bool, now_ms: int) -> Frame | None:
        kind, state = bcd(raw[5]), raw[6]
        if kind < 0 or any(bcd(byte) < 0 for byte in raw[2:5]):
            return None
        code, device = raw[2:5].hex(), words("gst", "types").get(kind, UNKNOWN)
        said = _judge(frame, kind, state)
        fields: dict[str, Any] = {
            "frame": frame, "repeat": repeat, "secondary_code": code, "device_type": kind, "state": state,
            "event": str(said.event),
        }  # fmt: skip
        if said.restored:
            fields["restored"] = True
        text = ""
        if frame == "residual_current":
            fields["value"] = raw[7]
            text = f"剩余电流 {raw[7]}"
        event = PanelEvent(
            event=said.event, restored=said.restored, received_ms=now_ms, controller=self._controller, point=code,
            address=code_address(code), device_type=kind, device_zh=device.zh, device_en=device.en, text=text,
            raw=raw_hex(raw),
        )  # fmt: skip
        return Frame(raw, fields, [] if self._is_repeat(raw[1:], says_so=repeat) else [event])


def _judge(frame: str, kind: int, state: int) -> Meaning:
    """What a state byte means; a type above 11 is an action, or supervisory, else an alarm."""
    other = Meaning(EventClass.OTHER)
    if frame == "fault":
        return meanings("gst", "fault_states").get(state, other)
    if frame == "test":
        return Meaning(EventClass.TEST)
    if frame == "power_loss":
        return Meaning(EventClass.FAULT)
    if state in (0x00, 0x01):
        is_over = state == 0x00
        if kind in table("gst")["supervisory"]:
            return Meaning(EventClass.SUPERVISORY, is_over)
        if kind > 11:
            return Meaning(EventClass.OTHER, True) if is_over else Meaning(EventClass.FEEDBACK)
        return Meaning(EventClass.FIRE, is_over)
    return meanings("gst", "alarm_states").get(state, other)
