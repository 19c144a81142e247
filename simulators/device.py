"""One simulated Modbus device: a register image made from its profile, and the truth about every read."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import Literal

from contract.messages import Value
from contract.profile import Point, Profile
from simulators import encoding, identity
from simulators.encoding import TransmitterSetting
from simulators.identity import Identity
from simulators.recorder import Level, Recorder

ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE = 1, 2, 3
_HARMLESS = frozenset((1, 2, 3, 4, 7, 11, 12, 17, 20, 24))
"""Functions that change nothing in a device. Every other request breaks monitor-only, but function 43 with type 14."""
_MEANINGLESS = (0xFFFE, 0x7FFE, 0x8001)
"""Words of broken sensors; at least one of them is out of range for any point."""
_MOST = {1: 2000, 2: 2000, 3: 125, 4: 125}


class Device:
    """A device of a profile.

    Args:
        name: id in the site.
        profile: a Modbus profile.
        recorder: told every level and every served read.
        start: first values by point; healthy defaults for the rest.
        points: size of a device with repeated points.
        setting: unit, decimals and offset of a transmitter; its test vector's when absent.
        identity: who it says it is; None: it refuses to say. One made from its profile when absent.
    """

    def __init__(
        self,
        name: str,
        profile: Profile,
        recorder: Recorder,
        *,
        start: Mapping[str, Value] | None = None,
        points: int | None = None,
        setting: TransmitterSetting | None = None,
        identity: Identity | Literal["own"] | None = "own",
    ) -> None:
        assert profile.modbus is not None
        self.name = name
        self.silent = False
        """While true the device answers nobody."""
        self.late_s = 0.0
        """Answers come this much later than they should."""
        self.identity = own_identity(profile) if identity == "own" else identity
        """Who it says it is from now on; None: it refuses to say."""
        self._modbus = profile.modbus
        self._profile = profile
        self._setting = setting
        self._recorder = recorder
        self._points = {point.name: point for point in profile.points_for(points) if not point.text}
        self._served = encoding.served_registers(list(self._points.values()), profile.modbus.max_gap)
        self._image: dict[int, int] = dict.fromkeys(self._served, 0)
        self._levels: dict[str, Level] = {}
        self._spoilt: dict[str, Value] = {}
        """What broken sensors would show."""
        self._covered: dict[tuple[int, int], list[str]] = {}
        values = dict(start or {})
        for point in self._points.values():
            self._put(point, values.pop(point.name, encoding.default_value(point)))
        if values:
            raise ValueError(f"{name}: got start values for {sorted(values)}, want points of {profile.id}.")
        self._record(self._points.values())

    @property
    def points(self) -> list[Point]:
        """Every point, in the profile's order."""
        return list(self._points.values())

    def value(self, point: str) -> tuple[Value, str]:
        """(value, quality) a correct reader gives now."""
        return encoding.decode(self._points[point], self._image, self._modbus)

    def set(self, point: str, value: Value) -> None:
        """Give a point a value; None is its missing word. Raises KeyError or ValueError."""
        if point in self._spoilt:
            self._spoilt[point] = value
            return
        self._put(self._points[point], value)
        self._record(self._sharing(encoding.registers_of(self._points[point])))

    def spoil(self, point: str) -> None:
        """A word that means nothing, as a broken sensor gives; what is set meanwhile is seen once it is mended."""
        if point in self._spoilt:
            return
        self._spoilt[point] = self.value(point)[0]
        register = encoding.registers_of(self._points[point])[0]
        for word in _MEANINGLESS:
            self.set_raw(register, word)
            quality = self.value(point)[1]
            if quality.startswith("bad:") and "missing" not in quality:
                break

    def mend(self, point: str) -> None:
        """Its next value is a good one again."""
        if point in self._spoilt:
            self.set(point, self._spoilt.pop(point))

    def set_raw(self, register: int, word: int) -> None:
        """Put a word into the image, as a broken sensor does. Raises KeyError outside the map."""
        if register not in self._image:
            raise KeyError(register)
        self._image[register] = word & 0xFFFF
        self._record(self._sharing([register]))

    def answer(self, pdu: bytes) -> bytes:
        """The answer to a request (function code and what follows, no address, no CRC)."""
        function = pdu[0]
        note_violation(self._recorder, self.name, pdu)
        if function == identity.FUNCTION:
            return identity.answer_identity(self.identity, pdu)
        if function != self._modbus.function:
            return bytes((function | 0x80, ILLEGAL_FUNCTION))
        if len(pdu) != 5:
            return bytes((function | 0x80, ILLEGAL_VALUE))
        start, count = struct.unpack(">HH", pdu[1:])
        most = _MOST[function] if function in (1, 2) else min(_MOST[function], self._modbus.max_block)
        if not 1 <= count <= most:
            return bytes((function | 0x80, ILLEGAL_VALUE))
        if any(register not in self._served for register in range(start, start + count)):
            return bytes((function | 0x80, ILLEGAL_ADDRESS))
        self._note_served(start, count)
        words = [self._image[register] for register in range(start, start + count)]
        body = _pack_bits(words) if function in (1, 2) else struct.pack(f">{count}H", *words)
        return bytes((function, len(body))) + body

    def _put(self, point: Point, value: Value) -> None:
        setting = self._setting
        if point.device_unit is not None and setting is None:
            setting = encoding.default_setting(self._profile, point)
        for word in encoding.encode(point, value, self._modbus, setting):
            self._image[word.register] = self._image[word.register] & ~word.mask | word.word & word.mask

    def _sharing(self, registers: list[int]) -> list[Point]:
        touched = set(registers)
        return [point for point in self._points.values() if touched.intersection(encoding.registers_of(point))]

    def _record(self, points: Iterable[Point]) -> None:
        for point in points:
            value, quality = encoding.decode(point, self._image, self._modbus)
            self._levels[point.name] = self._recorder.change(f"{self.name}/{point.name}", value, quality)

    def _note_served(self, start: int, count: int) -> None:
        names = self._covered.get((start, count))
        if names is None:
            block = range(start, start + count)
            names = [
                name
                for name, point in self._points.items()
                if all(point.register_ + n in block for n in range(point.words))  # type: ignore[operator] # Modbus points have one
            ]
            self._covered[start, count] = names
        now = self._recorder.now_ms()
        for name in names:
            self._levels[name].note_served(now)


def own_identity(profile: Profile) -> Identity:
    """Who a simulated device of a profile is when nobody says otherwise."""
    return Identity(b"Weizhan simulators", profile.id.encode(), b"V1.0")


def note_violation(recorder: Recorder, where: str, pdu: bytes) -> None:
    """Put a request on record that could change something, whether or not anybody answers it."""
    if pdu[0] not in _HARMLESS and pdu[:2] != bytes((identity.FUNCTION, identity.MEI_TYPE)):
        recorder.record_violation(where, pdu[0], pdu)


def _pack_bits(words: list[int]) -> bytes:
    packed = bytearray((len(words) + 7) // 8)
    for n, word in enumerate(words):
        packed[n // 8] |= (word & 1) << n % 8
    return bytes(packed)
