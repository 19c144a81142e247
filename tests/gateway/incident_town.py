"""A town for stories of fires: the station that burns, two neighbours within three kilometres, one far away."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from gateway.installation import Installation, load_installation
from gateway.ledger.secret import SECRET
from gateway.notify.settings import NotifySettings
from gateway.notify.state import NotifyParts
from gateway.notify.ways import Ways
from gateway.settings import GatewaySettings
from tests.gateway.harness import SITE
from tests.gateway.world import World

NIGHT_MS = int(datetime(2026, 3, 14, 2, 17, tzinfo=ZoneInfo("Asia/Shanghai")).timestamp() * 1000)
SECOND_MS = 1000
GRID = """\
areas:
  - id: town
    kind: city
    title: {zh: 城, en: Town}
    areas:
      - id: west-side
        kind: street
        title: {zh: 西街道, en: West side}
        people: [{name: 王建国, role: head}]
        units: [{id: market, kind: key, title: {zh: 市场, en: Market}, site: shuiye}]
      - {id: east-side, kind: street, title: {zh: 东街道, en: East side}}
"""
STATION = """\
area: AREA
location: {lat: LAT, lon: 114.1}
station: {grade: 1, posts: [{id: room, title: {zh: 控制室, en: Control room}}]}
"""
OTHER = """\
site: NAME
title: {zh: NAME, en: NAME}
agents:
  - id: edge1
    lines:
      - {id: tcp1, kind: modbus_tcp, host: h, devices: [{id: panel-01, profile: panel-modbus, unit_id: 2, points: 4}]}
"""
CALL_POINT = """\
      - id: printer-1
        kind: printer
        port: /dev/ttyS0
        devices: [{id: panel-02, profile: panel-printer, point_map: map.csv}]
"""
MAP = "address,place_zh,type,zone\nl001p001,一层东,感烟探测器,1F\nl001p002,一层大门,手动报警按钮,1F\n"
PLACES = {"shuiye": ("west-side", 36.100), "east": ("east-side", 36.110), "port": ("east-side", 36.125),
          "hill": ("east-side", 36.500)}  # fmt: skip


def write_town(folder: Path) -> GatewaySettings:
    """Site files and grid; `shuiye` is the station of the other tests, with a call point beside."""
    (folder / "grid.yaml").write_text(GRID, "utf-8")
    (folder / "map.csv").write_text(MAP, "utf-8")
    sites = []
    for name, (area, lat) in PLACES.items():
        head, _, rest = (SITE if name == "shuiye" else OTHER.replace("NAME", name)).partition("agents:\n")
        if name == "shuiye":
            rest = rest.replace("  - id: edge2\n", CALL_POINT + "  - id: edge2\n")
        place = STATION.replace("AREA", area).replace("LAT", f"{lat}")
        path = folder / f"{name}.yaml"
        path.write_text(f"{head}{place}agents:\n{rest}", "utf-8")
        sites.append(path)
    return GatewaySettings(sites=sites, grid=folder / "grid.yaml", data_dir=folder / "data")


def town(folder: Path) -> Installation:
    """The town with the rules that look at one point each."""
    found = load_installation(write_town(folder))
    rules = {rule.id: rule for rule in found.rules.values() if rule.when.kind in ("state", "threshold")}
    return Installation(found.sites, rules, found.library, found.grid)


def people(**changes: Any) -> NotifySettings:
    """At each station one person at once and the chief after two minutes, by the duty screen."""
    names = [*PLACES, "chief"]
    chains = [
        {"id": name, "steps": [{"after_s": 0, "people": [name]}, {"after_s": 120, "people": ["chief"]}],
         "repeat_s": None}
        for name in PLACES
    ]  # fmt: skip
    record = {
        "people": [{"id": name, "name": name, "channels": [{"kind": "screen"}]} for name in names],
        "chains": chains,
        "routes": [{"chain": name, "severities": ["fire", "critical"], "sites": [name]} for name in PLACES],
        "proof": {"enabled": False},
    }
    return NotifySettings.model_validate(record | changes)


class Town(World):
    """Its gateway, at night."""

    def __init__(self, installation: Installation, secret: str | None = None) -> None:
        self._secret = secret
        settings = people()
        super().__init__(installation, NIGHT_MS, NotifyParts(settings, b"k" * 32, Ways(settings)))

    def restart(self) -> None:
        """As ever; with a secret set by the test, so that two towns draw the same duty checks."""
        if self._secret is not None:
            self.connection.execute("UPDATE meta SET value = ? WHERE key = ?", (self._secret, SECRET))
        super().restart()

    def told(self, kind: str | None = None) -> list[tuple[int, str, str]]:
        """(seconds since the night began, person, kind) of every message about a fire or of this kind."""
        rows = self.connection.execute("SELECT due_ms, person, kind FROM notice WHERE lane = 'fire' ORDER BY id")
        return [((at - NIGHT_MS) // 1000, who, what) for at, who, what in rows if kind in (None, what)]

    def row(self, number: int = 1) -> dict[str, Any]:
        """An incident as the ledger has it."""
        (data,) = self.connection.execute("SELECT data FROM entry WHERE kind='incident' AND id=?", (number,)).fetchone()
        found: dict[str, Any] = json.loads(data)
        return found
