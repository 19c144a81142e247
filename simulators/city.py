"""A city: thousands of stations whose agents' messages are made straight in the wire format, and what they held.

    station s00042: hydrant-01, pool-01 (telemetry, a batch a period), panel-01 (fires on the alarm lane)

Every message is what an agent would send: sealed batches numbered by lane, heartbeats, one epoch. What a station sent
is kept as it is made: how many readings, and the sum of a hash of each, so that what was stored can be compared.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import msgspec
import yaml

from contract.messages import AgentState, Batch, Lane, Reading, encode
from contract.topics import DEFAULT_ROOT

AGENT, EPOCH = "edge-01", "city"
PANEL_POINTS = 16
FIRE_S = 20
"""A fire is over after so long."""
_POINTS = (
    ("hydrant-01/pressure_kpa", 320.0, 3.0),
    ("hydrant-01/flow_lps", 0.1, 0.05),
    ("hydrant-01/water_temperature_c", 12.0, 0.3),
    ("hydrant-01/tilt_deg", 0.8, 0.1),
    ("hydrant-01/battery_pct", 80.0, 0.2),
    ("hydrant-01/signal_dbm", -80.0, 1.0),
    ("pool-01/level_m", 3.2, 0.02),
    ("pool-01/water_temperature_c", 11.0, 0.3),
)


class Sent(NamedTuple):
    """A message on its way. seq: 0 for a heartbeat."""

    topic: str
    payload: bytes
    site: str
    lane: str
    seq: int


class Held(NamedTuple):
    """What a station sent, or what is stored of it: how many readings, and the sum of their hashes."""

    readings: int
    digest: int


@dataclass
class Station:
    """One station. next_ms: when its next batch is due."""

    site: str
    next_ms: int
    seqs: dict[Lane, int] = field(default_factory=dict)
    readings: int = 0
    digest: int = 0
    burning: str | None = None
    burns_until_ms: int = 0
    fires: list[tuple[str, int]] = field(default_factory=list)
    """(point, raised at, ms UTC)."""

    @property
    def held(self) -> Held:
        """What it sent so far."""
        return Held(self.readings, self.digest)


class City:
    """All of them.

    Args:
        stations: how many.
        period_s: a batch and a heartbeat of each in so long.
        seed: of phases, values and fires.
        start_ms: wall clock of the start, ms UTC.
        fires_an_hour: of each station.
    """

    def __init__(self, stations: int, period_s: float, seed: int, start_ms: int, fires_an_hour: float = 1.0) -> None:
        self._rng = random.Random(seed)  # noqa: S311  # a load that must repeat, no secret
        self._period_ms = round(period_s * 1000)
        self._chance = fires_an_hour * period_s / 3600
        self._start_ms = start_ms
        self.stations = {
            name: Station(name, start_ms + self._rng.randrange(self._period_ms)) for name in site_names(stations)
        }

    def due(self, now_ms: int) -> Iterator[Sent]:
        """Everything that is to be sent until now, in order of time."""
        ready = sorted((s for s in self.stations.values() if s.next_ms <= now_ms), key=lambda station: station.next_ms)
        for station in ready:
            yield from self._speak(station, station.next_ms)
            station.next_ms += self._period_ms

    def quiet(self, now_ms: int) -> Iterator[Sent]:
        """The end: every fire that stands is over."""
        for station in self.stations.values():
            if station.burning is not None:
                yield self._batch(station, "alarm", [Reading(station.burning, now_ms, "normal")], now_ms)
                station.burning = None

    def hello(self) -> Iterator[Sent]:
        """The first heartbeat of each agent, and that its panel is well."""
        for station in self.stations.values():
            yield self._beat(station, self._start_ms)
            first = [Reading(f"panel-01/p{n:03d}", self._start_ms, "normal") for n in range(1, PANEL_POINTS + 1)]
            yield self._batch(station, "alarm", first, self._start_ms)

    def _speak(self, station: Station, at_ms: int) -> Iterator[Sent]:
        if station.burning is not None and at_ms >= station.burns_until_ms:
            yield self._batch(station, "alarm", [Reading(station.burning, at_ms, "normal")], at_ms)
            station.burning = None
        elif station.burning is None and self._rng.random() < self._chance:
            station.burning = f"panel-01/p{self._rng.randint(1, PANEL_POINTS):03d}"
            station.burns_until_ms = at_ms + FIRE_S * 1000
            station.fires.append((station.burning, at_ms))
            yield self._batch(station, "alarm", [Reading(station.burning, at_ms, "fire")], at_ms)
        readings = [
            Reading(name, at_ms, round(mean + self._rng.uniform(-width, width), 3)) for name, mean, width in _POINTS
        ]
        yield self._batch(station, "telemetry", readings, at_ms)
        yield self._beat(station, at_ms)

    def _batch(self, station: Station, lane: Lane, readings: list[Reading], at_ms: int) -> Sent:
        seq = station.seqs[lane] = station.seqs.get(lane, 0) + 1
        found = sum_up(readings)
        station.readings += found.readings
        station.digest = (station.digest + found.digest) & 0xFFFFFFFFFFFFFFFF
        batch = Batch(site=station.site, agent=AGENT, epoch=EPOCH, lane=lane, seq=seq, oldest=1, sent_ms=at_ms,
                      readings=readings)  # fmt: skip
        return Sent(f"{DEFAULT_ROOT}/{station.site}/{AGENT}/{lane}", encode(batch), station.site, lane, seq)

    def _beat(self, station: Station, at_ms: int) -> Sent:
        state = AgentState(site=station.site, agent=AGENT, epoch=EPOCH, online=True, sent_ms=at_ms)
        return Sent(f"{DEFAULT_ROOT}/{station.site}/{AGENT}/state", encode(state), station.site, "state", 0)


def sum_up(readings: Iterable[Reading]) -> Held:
    """How many, and the sum of a hash of each: the same whatever their order."""
    count = digest = 0
    for reading in readings:
        count += 1
        text = msgspec.json.encode((reading.point, reading.observed_ms, reading.value, reading.quality))
        digest += zlib.crc32(text) << 32 | zlib.adler32(text)
    return Held(count, digest & 0xFFFFFFFFFFFFFFFF)


def site_names(stations: int) -> list[str]:
    """Names of so many sites."""
    return [f"s{number:05d}" for number in range(1, stations + 1)]


def write_sites(folder: Path, stations: int) -> list[Path]:
    """A site file for each station. Raises OSError."""
    paths = []
    for name in site_names(stations):
        devices = [
            {"id": "hydrant-01", "profile": "hydrant-municipal", "unit_id": 1},
            {"id": "pool-01", "profile": "water-level", "unit_id": 2},
            {"id": "panel-01", "profile": "panel-modbus", "unit_id": 3, "points": PANEL_POINTS},
        ]
        line = {"id": "tcp-1", "kind": "modbus_tcp", "host": "127.0.0.1", "port": 1502, "devices": devices}
        title = {"zh": f"微站 {name}", "en": f"Station {name}"}
        site = {"site": name, "title": title, "agents": [{"id": AGENT, "lines": [line]}]}
        path = folder / f"{name}.yaml"
        path.write_text(
            yaml.dump(site, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), allow_unicode=True), "utf-8"
        )
        paths.append(path)
    return paths
