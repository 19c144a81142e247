"""The equipment of a simulated station: what is true of it, and the lines it is read by.

The truth is kept here alone; nothing of it comes from the product. A line is simulated at the border of its connection
(`edge_agents.bus.modbus.Port`): requests that are answered, late, damaged or lost, and a plug that is pulled. What goes
wrong within frames (bytes, CRC, echoes, late answers taken for others) has its own campaigns: `python -m bench lines`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from contract.errors import DeviceError, RetryLater
from contract.messages import Value
from contract.profile import Profile
from edge_agents.drivers.identity import IdentityPart
from edge_agents.drivers.modbus import Block
from tests.world.loop import ProcessLoop, Timeline


class Equipment:
    """One device: its registers, and since when each point has its value."""

    def __init__(self, name: str, profile: Profile, points: int | None, timeline: Timeline) -> None:
        self.name = name
        self._timeline = timeline
        self._points = {point.name: point for point in profile.points_for(points) if point.register_ is not None}
        self.registers: dict[int, int] = {}
        self.values: dict[str, Value] = {}
        self.edges: dict[str, list[tuple[int, Value]]] = {}
        """Point -> every (µs, value) it had, from the beginning."""
        assert profile.test_vector is not None
        for name_of, point in self._points.items():
            first: Value
            if point.type == "bit":
                first = False
            elif point.type == "state":
                first = "normal"
            else:
                first = _NORMAL[name_of]
            self.set(name_of, first)

    def set(self, name: str, value: Value) -> None:
        """From now on a point has this value; as its register can hold it."""
        point = self._points[name]
        register = point.register_
        assert register is not None
        word = self.registers.get(register, 0)
        if point.type == "bit":
            assert point.bit is not None
            word = word | 1 << point.bit if value else word & ~(1 << point.bit)
        elif point.type == "state":
            assert point.states is not None
            word = next(code for code, state in point.states.items() if state == value)
        else:
            assert isinstance(value, float)
            scale = point.scale or 1.0
            raw = round(value / scale)
            word, value = raw & 0xFFFF, raw * scale
        self.registers[register] = word
        if self.values.get(name, _UNSET) != value:
            self.values[name] = value
            self.edges.setdefault(name, []).append((self._timeline.now_us, value))


_UNSET = object()
_NORMAL = {
    "pressure_kpa": 300.0, "flow_lps": 0.0, "water_temperature_c": 12.0, "tilt_deg": 1.0, "battery_pct": 90.0,
    "signal_dbm": -70.0, "level_m": 3.2, "temperature_c": 18.0,
}  # fmt: skip


@dataclass
class LineWeather:
    """What is wrong with a line now."""

    unplugged: bool = False
    silent: set[str] = field(default_factory=set)
    """Devices that answer nothing."""
    noise: float = 0.0
    """Share of answers that come damaged."""
    late: float = 0.0
    """Share that come after their timeout."""
    leak: float = 0.0
    """Share of damaged answers whose CRC is right by chance: words nobody measured."""


class SerialLine:
    """One line with its devices by unit address."""

    def __init__(self, line_id: str, units: dict[int, Equipment], random: Random) -> None:
        self.id = line_id
        self.units = units
        self.random = random
        self.weather = LineWeather()
        self.leaked = 0


class SerialPort:
    """A connection to a line; what the product's line asks of a `Port`."""

    def __init__(self, line: SerialLine, loop: ProcessLoop, timeout_s: float, effect: Callable[[str], bool]) -> None:
        self._line, self._loop, self._timeout_s, self._effect = line, loop, timeout_s, effect
        self._open = False

    @property
    def is_open(self) -> bool:
        if self._open and self._line.weather.unplugged:
            self._open = False
        return self._open

    async def open(self) -> None:
        await asyncio.sleep(0.005)
        if self._line.weather.unplugged:
            raise RetryLater(f"line {self._line.id}: got no device, want a port")
        self._open = True

    async def read(self, unit_id: int, block: Block, answer_s: float, *, is_probe: bool = False) -> list[int]:
        line, weather, random = self._line, self._line.weather, self._line.random
        if not self.is_open or self._loop.dead:
            raise DeviceError("line", "the port is gone")
        unit = line.units[unit_id]
        if unit.name in weather.silent:
            await asyncio.sleep(answer_s if is_probe else self._timeout_s)
            raise DeviceError("no_answer", unit.name)
        if weather.late and random.random() < weather.late:
            await asyncio.sleep(self._timeout_s)
            raise DeviceError(random.choice(("no_answer", "late_answer")), unit.name)
        await asyncio.sleep(random.uniform(0.01, 0.04))
        if not self.is_open:
            raise DeviceError("line", "the port is gone")
        words = [unit.registers.get(block.address + n, 0) for n in range(block.size)]
        if weather.noise and random.random() < weather.noise:
            if random.random() < weather.leak:
                line.leaked += 1
                return [random.choice((word, random.randint(0, 9))) for word in words]  # what looks like a state
            raise DeviceError("bad_answer", unit.name)
        return words

    def identity_s(self, usual_s: float) -> tuple[float, float]:
        return 2 * usual_s + 0.15, 2 * usual_s + 0.15

    async def identify(self, unit_id: int, first_object: int, wait_s: float) -> IdentityPart:
        """The units are of the plain kind that does not know the question."""
        line = self._line
        if not self.is_open or self._loop.dead:
            raise DeviceError("line", "the port is gone")
        unit = line.units[unit_id]
        if unit.name in line.weather.silent:
            await asyncio.sleep(wait_s)
            raise DeviceError("no_answer", unit.name)
        await asyncio.sleep(0.02)
        raise DeviceError("refused", unit.name)

    def ready_s(self, unit_id: int) -> float:
        return 0.0

    def close(self) -> None:
        self._open = False
