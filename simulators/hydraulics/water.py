"""The town's values over the hours of a story: the network by EPANET, water and air by simple physics, seen by
instruments. A pure function of story, plan, mapping and seed: values to be set at points, in order of time.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from contract.errors import ConfigError
from contract.messages import Value
from contract.profile import Point
from simulators.hydraulics.instruments import FLOW_LPS, LEVEL_M, PRESSURE_KPA, TEMPERATURE_C, Instrument, Kind
from simulators.hydraulics.mapping import Mapping as Where
from simulators.hydraulics.network import Network
from simulators.story_acts import SensorAct, WaterAct

DAY_S = 86_400
_WARM_UP_S = 600
_BODY_S = 3 * 3600.0
"""Time constant of a hydrant's barrel on its way to the temperature of the air."""
_KINDS: dict[str, Kind] = {
    "pressure_kpa": PRESSURE_KPA,
    "outlet_pressure_kpa": PRESSURE_KPA,
    "level_m": LEVEL_M,
    "flow_lps": FLOW_LPS,
    "water_temperature_c": TEMPERATURE_C,
    "temperature_c": TEMPERATURE_C,
    "signal_dbm": Kind(noise=1.0, offset=0.0, step=1.0),
    "battery_pct": Kind(step=1.0),
    "tilt_deg": Kind(noise=0.05, offset=0.2, step=0.1),
}
_CYLINDER = Kind(noise=15.0, offset=100.0, step=10.0)
_BAY = Kind(noise=2.0, offset=10.0, step=1.0)
_HOLD, _FRESH_S = 0.5, 240.0
"""A value that moved by less than this share of its point's deadband is given after so long only: no agent would report
it at once."""


class Seen(NamedTuple):
    """A point that a value is made for. start: what it is about when nothing happens."""

    name: str
    point: Point
    start: float

    @property
    def device(self) -> str:
        return self.name.partition("/")[0]

    @property
    def what(self) -> str:
        return self.name.partition("/")[2]


class Span(NamedTuple):
    """An act from..to, story seconds."""

    from_s: float
    to_s: float
    act: WaterAct | SensorAct


Move = tuple[float, str, Value]


class Water:
    """The town's numbers.

    Args:
        where: the network and who hangs on it.
        points: numbers of the town's devices, with what they are about.
        spans: what happens to water and sensors.
        starts_s: second of the day at which the story begins.
        step_s: values are made this often.
        seed: of every instrument and of the weather.
    """

    def __init__(
        self, where: Where, points: list[Seen], spans: list[Span], *, starts_s: float, step_s: float, seed: int
    ) -> None:
        self._where = where
        self._points = points
        self._spans = sorted(spans, key=lambda span: span[:2])
        self._starts_s = starts_s
        self._step_s = step_s
        self._seed = seed
        self._instruments = {seen.name: Instrument(_kind(seen), self._rng(seen.name)) for seen in points}
        self._noise = self._rng("noise")
        self._air_c = self._rng("air").uniform(12.0, 18.0)
        self._body_c = {seen.device: self._air_c - 3.0 for seen in points}
        self._live: list[Span] = []
        self._demand_at_s = 0.0
        self._demand = 1.0
        self._weather = self._rng("demand")

    def moves(self, length_s: float) -> Iterator[Move]:
        """(story second, point, value) from 0 to the end. Raises ConfigError for an act on what is not mapped."""
        self._check()
        last: dict[str, tuple[float, Value]] = {}
        with Network(self._where.network_path, step_s=300) as network:
            network.advance(int(self._starts_s) + DAY_S - _WARM_UP_S)  # a day ago it was filled as the file says
            network.pace(max(1, int(min(self._step_s, 60))))
            base_s = int(self._starts_s) + DAY_S
            at_s = 0.0
            while at_s < length_s:
                self._change(network, at_s)
                network.advance(base_s + math.ceil(at_s) + 1)
                for seen in self._points:
                    value = self._read(network, seen, at_s)
                    if seen.name not in last or _is_news(seen, last[seen.name], value, at_s):
                        last[seen.name] = at_s, value
                        yield at_s, seen.name, value
                at_s = self._next_s(at_s)

    def _next_s(self, at_s: float) -> float:
        """The next step, or the next edge of an act where that is sooner: a burst is felt when it happens."""
        step = math.floor(at_s / self._step_s + 1e-9) * self._step_s + self._step_s
        edges = (edge for span in self._spans for edge in (span.from_s, span.to_s) if at_s < edge < step)
        return min(edges, default=step)

    def _change(self, network: Network, at_s: float) -> None:
        if at_s >= self._demand_at_s:  # nobody draws the same two hours running
            self._demand_at_s = at_s + 1800
            self._demand = min(1.25, max(0.8, 1 + 0.5 * (self._demand - 1) + self._weather.gauss(0.0, 0.05)))
        over = [span for span in self._live if span.to_s <= at_s]
        begun = [span for span in self._spans if span.from_s <= at_s < span.to_s and span not in self._live]
        self._live = [span for span in self._spans if span.from_s <= at_s < span.to_s]
        for span in over:
            self._apply(network, span.act, is_on=False)
        for span in [*begun, *(self._live if over else [])]:  # what still holds at the same place holds on
            self._apply(network, span.act, is_on=True)
        factors = [span.act.factor for span in self._live if isinstance(span.act, WaterAct) and span.act.factor]
        network.scale_demand(self._demand * math.prod(factors))

    def _apply(self, network: Network, act: WaterAct | SensorAct, *, is_on: bool) -> None:
        if isinstance(act, SensorAct):
            instrument = self._instruments[act.at]
            if act.fault == "stuck":
                instrument.stick(stuck=is_on)
            elif act.fault == "dead":
                instrument.is_dead = is_on
            return
        hole_mm = act.hole_mm or 0.0
        for device in act.at:
            if act.what in ("burst", "leak"):
                network.open_hole(self._where.main_node(device), hole_mm if is_on else 0.0)
            elif act.what == "opened":
                network.open_hole(self._where.hydrants[device].node, hole_mm if is_on else 0.0)
            elif act.what == "valve_closed":
                network.close_link(self._where.hydrants[device].valve, closed=is_on)
        if act.what in ("works_stopped", "booster_stopped"):
            for pump in self._where.works if act.what == "works_stopped" else self._where.booster:
                network.close_link(pump, closed=is_on)

    # --- what a point is about ------------------------------------------------------------------------------------

    def _read(self, network: Network, seen: Seen, at_s: float) -> Value:
        """What its instrument gives of the truth, faults of the instrument included; None: nothing."""
        truth = self._truth(network, seen, at_s)
        extra = 0.0
        for span in self._live:
            act = span.act
            if isinstance(act, SensorAct) and act.at == seen.name:
                if act.fault == "drift":
                    extra += act.by * (at_s - span.from_s) / DAY_S
                elif act.fault == "offset":
                    extra += act.by
                elif act.fault == "noisy":
                    extra += self._noise.gauss(0.0, act.by)
        value = self._instruments[seen.name].read(truth + extra, at_s)
        if value is None:
            return None if seen.point.missing else seen.start
        low, high = seen.point.range or (-math.inf, math.inf)
        return float(f"{min(max(value, low), high):.9g}")

    def _truth(self, network: Network, seen: Seen, at_s: float) -> float:
        device, what = seen.device, seen.what
        hydrant = self._where.hydrants.get(device)
        if what == "pressure_kpa" and hydrant is not None:
            return network.pressure_kpa(hydrant.node)
        if what == "flow_lps" and hydrant is not None:
            return max(0.0, network.outflow_lps(hydrant.node))
        if what == "pressure_kpa" and device in self._where.pressures:
            return network.pressure_kpa(self._where.pressures[device])
        if what == "level_m" and device in self._where.levels:
            return network.level_m(self._where.levels[device])
        if what == "water_temperature_c":
            return self._body(device, at_s)
        if what == "temperature_c":
            return self._room(at_s)
        if what == "pressure_kpa" and device.startswith("bay-"):
            return seen.start * (273.15 + self._room(at_s)) / 293.15  # filled at 20 °C
        if what == "level_m":
            return seen.start + 0.06 * math.sin(2 * math.pi * (at_s + self._starts_s) / (3 * DAY_S))
        return seen.start

    def _air(self, at_s: float) -> float:
        frost = [span.act.air_c for span in self._live if isinstance(span.act, WaterAct) and span.act.air_c is not None]
        day = math.sin(2 * math.pi * ((at_s + self._starts_s) / DAY_S - 0.375))  # warmest at 15 o'clock
        return (frost[-1] if frost else self._air_c) + 4.0 * day

    def _room(self, at_s: float) -> float:
        return 19.0 + 0.3 * (self._air(at_s) - 15.0)

    def _body(self, device: str, at_s: float) -> float:
        """Barrel and pool follow the air slowly, never below ice."""
        share = 1 - math.exp(-self._step_s / _BODY_S)
        self._body_c[device] += share * (max(-0.5, self._air(at_s) - 3.0) - self._body_c[device])
        return self._body_c[device]

    def _rng(self, name: str) -> random.Random:
        return random.Random(f"{self._seed}/{name}")  # noqa: S311  # a seed that must repeat, not a secret

    def _check(self) -> None:
        for span in self._spans:
            if isinstance(span.act, SensorAct):
                if span.act.at not in self._instruments:
                    raise ConfigError(f"sensor: at: got {span.act.at!r}, want a number of the town's devices.")
                continue
            mapped: Mapping[str, object] = self._where.hydrants
            if span.act.what in ("burst", "leak"):
                mapped = {**self._where.hydrants, **self._where.outlets}
            for device in span.act.at:
                if device not in mapped:
                    raise ConfigError(
                        f"water: {span.act.what}: at: got {device!r}, want one of {', '.join(sorted(mapped))}."
                    )


def _kind(seen: Seen) -> Kind:
    if seen.what.startswith("cylinder_"):
        return _CYLINDER
    if seen.what == "pressure_kpa" and seen.device.startswith("bay-"):
        return _BAY
    return _KINDS.get(seen.what, Kind())


def _is_news(seen: Seen, given: tuple[float, Value], value: Value, at_s: float) -> bool:
    given_s, last = given
    if isinstance(last, float) and isinstance(value, float):
        is_old = at_s - given_s >= _FRESH_S
        return value != last and (is_old or abs(value - last) >= _HOLD * seen.point.deadband)
    return value != last
