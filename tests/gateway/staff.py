"""A world with stations, their people and their rosters."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from contract.station import Station
from gateway.duty.people import local_day
from gateway.duty.roster_check import shifts_of_day
from gateway.installation import Installation, load_installation
from gateway.settings import GatewaySettings
from tests.gateway.harness import SITE
from tests.gateway.world import World

STATION = """\
station:
  grade: 3
  crew: 2
  posts:
    - {id: control, title: {zh: 消防控制室, en: Control room}, crew: 2, certificates: [operator]}
    - {id: gate, title: {zh: 门岗, en: Gate}, crew: 1}
"""
SECOND = """\
site: dongfeng
title: {zh: 东风微站, en: Dongfeng station}
agents:
  - id: edge9
    lines:
      - id: tcp9
        kind: modbus_tcp
        host: 127.0.0.9
        port: 1502
        devices:
          - {id: tank-09, profile: water-level, unit_id: 1}
"""
RULES = (
    "roster-double",
    "roster-gap",
    "roster-unqualified",
    "roster-long",
    "certificate-expired",
    "certificate-expires-soon",
)


def install_stations(folder: Path, *, zone: str = "Asia/Shanghai", station: str = STATION) -> Installation:
    """Two sites with a station each, and the rules about their people."""
    paths = []
    for name, text in (("shuiye", SITE), ("dongfeng", SECOND)):
        paths.append(folder / f"{name}.yaml")
        paths[-1].write_text(f"{text}time_zone: {zone}\n{station}", "utf-8")
    found = load_installation(GatewaySettings(sites=paths, data_dir=folder))
    return Installation(found.sites, {name: found.rules[name] for name in RULES}, found.library)


class Staff:
    """Gives the commands of an administrator."""

    def __init__(self, world: World) -> None:
        self.world = world

    def zone(self, site: str = "shuiye") -> ZoneInfo:
        return ZoneInfo(self.world.installation.sites[site].time_zone)

    def station(self, site: str = "shuiye") -> Station:
        found = self.world.installation.sites[site].station
        assert found is not None
        return found

    def today(self, site: str = "shuiye") -> date:
        return local_day(self.world.now_ms, self.zone(site))

    def add(self, name: str = "", *, site: str = "shuiye", until: date | None = None, **more: Any) -> int:
        """A person with an operator's certificate, unless another list is given."""
        fields = {"certificates": [{"kind": "operator", "number": "", "until": until}], **more}
        name = name or f"somebody {self.world.state.registers.people.sheet.next_id}"
        return int(self.world.ask("person.add", "admin", site=site, name=name, **fields)["id"])

    def plan(self, *cells: tuple[date, str, str, list[int]], site: str = "shuiye", accept: bool = False) -> Any:
        """Cells as (day, shift, post, people)."""
        made = [
            {"site": site, "day": day.isoformat(), "shift": shift, "post": post, "people": people}
            for day, shift, post, people in cells
        ]
        return self.world.ask("roster.plan", "admin", cells=made, accept=accept)

    def fill(self, crews: list[list[int]], gates: list[int], *, days: range, site: str = "shuiye") -> None:
        """Every shift of these days (from today) manned, crew after crew."""
        cells = []
        for ahead in days:
            day = self.today(site) + timedelta(days=ahead)
            for number, shift in enumerate(shifts_of_day(self.station(site), self.zone(site), day)):
                if shift.until_ms > self.world.now_ms:
                    cells.append((day, shift.begins, "control", crews[number % len(crews)]))
                    cells.append((day, shift.begins, "gate", [gates[number % len(gates)]]))
        self.plan(*cells, site=site)

    def said(self, point: str, site: str = "shuiye") -> Any:
        """What the register of a site says now."""
        return dict(self.world.state.engine.values())[f"{site}/register/{point}"].value

    @property
    def standing(self) -> list[tuple[str, str]]:
        """(rule, site) of the alarms that stand."""
        return sorted((alarm.rule, alarm.site) for alarm in self.world.open if alarm.active)
