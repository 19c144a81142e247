"""Stations on a ledger in memory: agents that beat and devices that speak, as long as nothing is broken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from contract.messages import Reading
from gateway.installation import Installation, load_installation
from gateway.installing import keep_versions
from gateway.ledger.changes import Changes
from gateway.settings import GatewaySettings
from tests.gateway.harness import START_MS, state
from tests.gateway.world import World

STATION = """\
site: shuiye
title: {zh: 水冶微站, en: Shuiye station}
agents:
  - id: edge1
    lines:
      - id: tcp1
        kind: modbus_tcp
        host: 127.0.0.1
        port: 1502
        devices:
          - {id: hydrant-01, profile: hydrant-municipal, unit_id: 1}
          - {id: hydrant-02, profile: hydrant-municipal, unit_id: 2}
          - {id: rack-01, profile: breathing-apparatus-rack, unit_id: 3}
  - id: edge2
    lines:
      - id: tcp2
        kind: modbus_tcp
        host: 127.0.0.2
        port: 1502
        devices:
          - {id: tank-01, profile: water-level, unit_id: 1}
station:
  grade: 3
  posts: [{id: control, title: {zh: 控制室, en: Control room}}]
  equipment:
    - {id: radio, title: {zh: 对讲机, en: Radio}, kind: radio, count: 4, check_every_h: 8}
    - {id: breathing, title: {zh: 空呼, en: Breathing apparatus}, kind: breathing, count: 2, devices: [rack-01]}
"""
DEVICES = {
    "hydrant-01": "edge1",
    "hydrant-02": "edge1",
    "rack-01": "edge1",
    "tank-01": "edge2",
}
GOOD: dict[str, dict[str, Any]] = {
    "hydrant-01": {"pressure_kpa": 300.0},
    "hydrant-02": {"pressure_kpa": 310.0},
    "rack-01": {"cylinder_1_pressure_kpa": 29000.0},
    "tank-01": {"level_m": 3.0},
}
BEAT_MS = 10_000
SPEAK_MS = 240_000


def installed(folder: Path, text: str = STATION, *, leave_out: tuple[str, ...] = ()) -> Installation:
    """The station with every shipped rule but those about people, who are not told of here."""
    path = folder / "shuiye.yaml"
    path.write_text(text, "utf-8")
    found = load_installation(GatewaySettings(sites=[path], data_dir=folder))
    people = ("crew", "roster", "log", "handover", "shift", "duty", "certificate", "patrol", "drill", "hazard")
    rules = {
        rule.id: rule
        for rule in found.rules.values()
        if rule.id not in leave_out
        and not (rule.applies_to and rule.applies_to[0].startswith("register/") and rule.id.startswith(people))
    }
    return Installation(found.sites, rules, found.library, found.grid)


class Stations(World):
    """A world in which agents beat every 10 s and devices speak every 4 minutes, unless they are broken."""

    def __init__(self, installation: Installation, now_ms: int = START_MS) -> None:
        super().__init__(installation, now_ms)
        changes = Changes(now_ms)
        changes.steps.append(keep_versions(installation, changes))
        self.commit(changes)
        self.dead: set[str] = set()
        """Devices and agents that say nothing."""
        self.spoke_ms: dict[str, int] = {}

    def commit(self, changes: Changes) -> None:
        """Write changes beside a turn."""
        self.connection.execute("BEGIN")
        changes.write(self.connection)
        self.connection.execute("COMMIT")

    def beat(self) -> None:
        """Agents that live beat."""
        for agent in ("edge1", "edge2"):
            if agent not in self.dead:
                self.turn(state(agent=agent, sent_ms=self.now_ms, epoch=f"e-{agent}"))

    def speak(self) -> None:
        """Devices that live speak, through agents that live."""
        for device, agent in DEVICES.items():
            if device not in self.dead and agent not in self.dead:
                self.say(device)

    def say(self, device: str, **values: Any) -> None:
        """A device speaks; what is not named is good."""
        told = {"online": True, **GOOD[device], **values}
        readings = [Reading(f"{device}/{point}", self.now_ms, value, "good") for point, value in told.items()]
        self.read(*readings, agent=DEVICES[device])
        self.spoke_ms[device] = self.now_ms

    def live(self, seconds: float) -> None:
        """Time passes; everybody does what they do."""
        until_ms = self.now_ms + int(seconds * 1000)
        while self.now_ms < until_ms:
            next_ms = min((self.now_ms // BEAT_MS + 1) * BEAT_MS, until_ms)
            self.wait(next_ms - self.now_ms)
            if self.now_ms % BEAT_MS == 0:
                self.beat()
            if self.now_ms % SPEAK_MS == 0:
                self.speak()

    def begin(self) -> None:
        """Everybody has spoken, the equipment is ticked."""
        self.beat()
        self.speak()
        self.tick()

    def begin_without_list(self) -> None:
        """Everybody has spoken."""
        self.beat()
        self.speak()

    def tick(self, **args: Any) -> Any:
        """The radios are ticked."""
        return self.ask("equipment.tick", **{"site": "shuiye", "item": "radio", "count": 4, "result": "ok", **args})

    @property
    def level(self) -> str:
        """What the station is now."""
        now = self.state.registers.readiness.now("shuiye")
        assert now is not None
        return now.level
