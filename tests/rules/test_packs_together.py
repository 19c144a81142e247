"""Shipped rules at work together: one message for one thing."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract.messages import Reading
from contract.profile import ProfileLibrary
from contract.site import load_site
from rules.engine import Engine
from rules.model import load_packs

T0 = 1_772_323_200_000
SITE = """\
site: s
title: {zh: 站, en: Station}
agents:
  - id: edge
    lines:
      - id: tcp
        kind: modbus_tcp
        host: 127.0.0.1
        devices:
          - {id: h1, profile: hydrant-municipal, unit_id: 1}
          - {id: h2, profile: hydrant-municipal, unit_id: 2}
          - {id: h3, profile: hydrant-municipal, unit_id: 3}
          - {id: pump, profile: pump-controller, unit_id: 4}
          - {id: pool, profile: water-level, unit_id: 5, limits: {water-level-low: {below: 1.0, clear: 1.1}}}
      - id: printer
        kind: printer
        port: /dev/ttyS0
        devices: [{id: panel, profile: panel-printer, point_map: map.csv}]
groups:
  - {id: east, kind: main, title: {zh: 东, en: East}, members: [h1/pressure_kpa, h2/pressure_kpa]}
"""
MAP = """\
address,place_zh,type,zone
l001p001,一层东,感烟探测器,1F
l001p002,一层西,感烟探测器,1F
l001p003,一层门厅,手动报警按钮,1F
l002p001,二层,感烟探测器,2F
"""


RULES, LIBRARY = load_packs(), ProfileLibrary()


class Station:
    """A station under all shipped rules; seconds from T0."""

    def __init__(self, folder: Path) -> None:
        (folder / "map.csv").write_text(MAP, "utf-8")
        path = folder / "site.yaml"
        path.write_text(SITE, "utf-8")
        self._engine = Engine(RULES)
        self._engine.add_site(load_site(path, LIBRARY))
        self._engine.restore([], [], [("s", "edge", True, T0)], T0)
        self._engine.agent_heard("s", "edge", True, T0)
        self.said: list[tuple[float, str, str, str]] = []

    def reads(self, at_s: float, **values: float | bool | str) -> None:
        """Values of points (`h1__pressure_kpa`) at a second."""
        self.waits(at_s)
        now_ms = T0 + round(at_s * 1000)
        readings = [Reading(name.replace("__", "/"), now_ms, value, "good") for name, value in values.items()]
        self._engine.observe("s", readings, now_ms)
        self._collect()

    def waits(self, until_s: float) -> None:
        """Time passes."""
        until_ms = T0 + round(until_s * 1000)
        while (due_ms := self._engine.next_due_ms()) is not None and due_ms < until_ms:
            self._engine.agent_heard("s", "edge", True, due_ms)
            self._engine.advance(due_ms)
            self._collect()
        self._engine.agent_heard("s", "edge", True, until_ms)
        self._engine.advance(until_ms)
        self._collect()

    def _collect(self) -> None:
        for t in self._engine.take().transitions:
            self.said.append(((t.event_ms - T0) / 1000, t.event, t.rule, t.subject.partition("/")[2]))

    def raised(self) -> list[tuple[str, str]]:
        """(rule, subject) of every raise, in order."""
        return [(rule, subject) for _, event, rule, subject in self.said if event == "raise"]


@pytest.fixture
def station(tmp_path: Path) -> Station:
    return Station(tmp_path)


def test_two_hydrants_of_a_main_are_one_alarm_when_both_sink(station: Station) -> None:
    """The main speaks; its hydrants keep still. A hydrant of another main still speaks for itself."""
    station.reads(0, h1__pressure_kpa=200.0, h2__pressure_kpa=205.0, h3__pressure_kpa=210.0)
    station.reads(10, h1__pressure_kpa=130.0, h2__pressure_kpa=128.0, h3__pressure_kpa=131.0)
    station.waits(100)

    assert station.raised() == [("hydrant-main-low", "east"), ("hydrant-pressure-low", "h3/pressure_kpa")]


def test_fire_is_confirmed_when_a_call_point_of_the_zone_is_pressed(station: Station) -> None:
    """The fire first, its confirmation at once; another floor is not confirmed by it."""
    station.reads(5, panel__l002p001="fire")
    station.reads(10, panel__l001p003="fire")

    assert station.said == [
        (5, "raise", "panel-fire", "panel/l002p001"),
        (10, "raise", "panel-fire", "panel/l001p003"),
        (10, "raise", "panel-fire-confirmed", "panel-zone-1f"),
    ]


def test_pump_is_expected_to_run_when_something_burns(station: Station) -> None:
    """A fire explains the pump; when the fire is over and it still runs, it is said."""
    station.reads(0, pump__running=False, panel__l001p001="fire")
    station.reads(5, pump__running=True)
    station.reads(300, panel__l001p001="normal")
    station.waits(400)

    assert station.raised() == [("panel-fire", "panel/l001p001"), ("pump-run-without-fire", "pump/running")]


def test_pump_alarm_is_suppressed_when_a_fire_follows_it(station: Station) -> None:
    """The pump started before the detector spoke: its alarm steps back while the fire stands."""
    station.reads(0, pump__running=False)
    station.reads(5, pump__running=True)
    station.reads(100, panel__l001p001="fire")
    station.reads(200, panel__l001p001="normal")
    station.waits(300)

    mine = [(at, event) for at, event, rule, _ in station.said if rule == "pump-run-without-fire"]
    assert mine == [(65, "raise"), (100, "suppress"), (200, "release")]


def test_tank_goes_by_its_own_limit_when_the_site_names_one(station: Station) -> None:
    """1.5 m is low for the shipped rule and not for this tank."""
    station.reads(0, pool__level_m=1.5)
    station.waits(100)
    assert station.raised() == []

    station.reads(100, pool__level_m=0.9)
    station.waits(200)
    assert station.raised() == [("water-level-low", "pool/level_m")]


def test_station_in_good_order_says_nothing_for_a_day(station: Station) -> None:
    """Every point calm and moving a little, every five minutes: no rule has anything to say."""
    for n in range(300):
        wave = (n % 7) * 1.5
        station.reads(
            n * 290,
            h1__pressure_kpa=260 + wave, h1__flow_lps=0.0, h1__water_temperature_c=12.0, h1__tilt_deg=0.5,
            h1__battery_pct=90.0, h1__signal_dbm=-80.0, h1__cap_open=False, h1__impact=False, h1__online=True,
            h2__pressure_kpa=262 + wave, h2__flow_lps=0.0, h2__water_temperature_c=12.0, h2__online=True,
            h3__pressure_kpa=258 + wave, h3__flow_lps=0.0, h3__water_temperature_c=12.0, h3__online=True,
            pump__mode="auto", pump__power_ok=True, pump__running=False, pump__fault=False,
            pump__outlet_pressure_kpa=600.0, pump__online=True,
            pool__level_m=3.2 + wave / 100, pool__water_temperature_c=11.0, pool__overflow=False, pool__online=True,
            panel__l001p001="normal", panel__online=True,
        )  # fmt: skip

    assert station.said == []
