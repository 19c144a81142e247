"""The tree of causes: one alarm for the cause, everything below it unknown, nothing left after repair."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract.messages import Reading
from contract.site import Site
from tests.rules.engine_run import RULES, START, Run, engine_of, site_of


def tree(folder: Path, lines: int = 5, devices: int = 10) -> Site:
    """An agent with lines of hydrants (10 points each with those the agent makes)."""
    text = "agents:\n  - id: edge\n    lines:\n"
    for line in range(lines):
        text += f"      - {{id: bus{line}, kind: modbus_tcp, host: 10.0.0.{line + 1}, port: 502, devices: ["
        text += ", ".join(
            f"{{id: h{line}-{d:02d}, profile: hydrant-municipal, unit_id: {d + 1}}}" for d in range(devices)
        )
        text += "]}\n"
    return site_of(folder, text)


class Tree:
    """A site that runs, all of it well."""

    def __init__(self, folder: Path) -> None:
        self.site = tree(folder)
        self.devices = [placed.entry.id for placed in self.site.placed()]
        self.off: set[str] = set()
        self.run = Run(engine_of(RULES, self.site), checkpoint_every=10**9)
        self.points = [
            (device, key.partition("/")[2])
            for key, slot in self.run.engine.values()
            for device in [slot.device.name]
            if device in set(self.devices)
        ]
        self.say_all(online=True)
        self.run.advance(START + 60_000)
        assert self.standing() == {}

    def say_all(self, *, online: bool, line: str = "h") -> None:
        """Every device says (or its agent says of it) whether it answers; devices one after the other."""
        for device in [device for device in self.devices if device.startswith(line)]:
            if online:
                self.off.discard(device)
                self.run.observe(
                    Reading(f"{device}/online", self.run.now, True),
                    Reading(f"{device}/pressure_kpa", self.run.now, 300.0),
                    Reading(f"{device}/cap_open", self.run.now, False),
                )
            else:
                self.off.add(device)
                self.run.observe(
                    Reading(f"{device}/online", self.run.now, False),
                    Reading(f"{device}/pressure_kpa", self.run.now, None, "unknown:no_answer"),
                )
            self.run.advance(self.run.now + (700 if online else 2_500))

    def pass_time(self, seconds: int) -> None:
        """Let time pass; who answers says so within every 300 s, as agents repeat what does not change."""
        end_ms = self.run.now + seconds * 1000
        while self.run.now < end_ms:
            if self.run.beats and self.run.agents["s", "edge"]:
                self.run.observe(
                    *(Reading(f"{d}/online", self.run.now, True) for d in self.devices if d not in self.off)
                )
            self.run.advance(min(end_ms, self.run.now + 300_000))

    def standing(self) -> dict[tuple[str, str], bool]:
        """Alarms that are up: (rule, subject) -> whether it is suppressed."""
        up: dict[tuple[str, str], bool] = {}
        for t in self.run.transitions:
            key = (t.rule, t.subject)
            if t.event == "clear":
                del up[key]
            else:
                assert t.event != "raise" or key not in up
                up[key] = t.event == "suppress"
        return up

    def told(self) -> set[tuple[str, str]]:
        """Alarms that are up and not suppressed."""
        return {key for key, suppressed in self.standing().items() if not suppressed}

    def causes(self) -> set[str | None]:
        """What makes the points unknown."""
        return {self.run.engine.cause_of("s", point) for _, point in self.points}


@pytest.fixture
def running(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_tree_has_500_points(running: Tree) -> None:
    """The tree is as large as is claimed, and all of it is known."""
    assert len(running.points) >= 500
    assert running.causes() == {None}


def test_one_alarm_and_all_points_unknown_when_the_agent_is_cut(running: Tree) -> None:
    """The lost agent is the one alarm; afterwards nothing is left."""
    running.run.agents["s", "edge"] = False
    running.run.engine.agent_heard("s", "edge", False, running.run.now)
    running.pass_time(7_200)

    assert running.told() == {("agent-lost", "s/edge")}
    assert running.causes() == {"s/edge"}
    running.run.agents["s", "edge"] = True
    running.run.heartbeat()
    running.say_all(online=True)
    running.pass_time(600)
    assert running.standing() == {}
    assert running.causes() == {None}


def test_one_alarm_when_a_line_dies_device_after_device(running: Tree) -> None:
    """Devices of a dying line go silent one after the other: the line is the one alarm, the others stay known."""
    before = len(running.run.transitions)
    running.say_all(online=False, line="h1")
    running.pass_time(3_600)
    raised = [t for t in running.run.transitions[before:] if t.event == "raise"]

    assert [(t.rule, t.subject) for t in raised] == [("line-lost", "s/line-bus1")]
    assert running.told() == {("line-lost", "s/line-bus1")}
    below = {running.run.engine.cause_of("s", point) for device, point in running.points if device.startswith("h1-")}
    assert below == {"s/line-bus1"}
    running.say_all(online=True, line="h1")
    running.pass_time(600)
    assert running.standing() == {}
    assert running.causes() == {None}


def test_one_alarm_when_the_agent_says_that_the_port_is_gone(running: Tree) -> None:
    """The agent's word on the line is enough; devices that follow add nothing."""
    running.run.say("line-bus2/online", False)
    running.say_all(online=False, line="h2")
    running.pass_time(3_600)

    assert running.told() == {("line-lost", "s/line-bus2")}
    running.run.say("line-bus2/online", True)
    running.say_all(online=True, line="h2")
    running.pass_time(600)
    assert running.standing() == {}


def test_device_alarm_is_suppressed_when_its_line_follows(running: Tree) -> None:
    """A device that was reported before its line is suppressed with the line as cause, and clears with the repair."""
    running.run.say("h3-00/online", False)
    running.off.add("h3-00")
    running.pass_time(300)
    assert running.told() == {("device-silent", "s/h3-00")}

    running.say_all(online=False, line="h3")
    running.pass_time(600)
    suppressed = [t for t in running.run.transitions if t.event == "suppress"]

    assert [(t.rule, t.subject, t.cause) for t in suppressed] == [("device-silent", "s/h3-00", "s/line-bus3")]
    assert running.told() == {("line-lost", "s/line-bus3")}
    running.say_all(online=True, line="h3")
    running.pass_time(600)
    assert running.standing() == {}


def test_device_that_stays_silent_after_its_line_is_back_is_reported(running: Tree) -> None:
    """The repair of the line hides no dead device for long."""
    running.say_all(online=False, line="h1")
    running.pass_time(600)
    for device in [device for device in running.devices if device.startswith("h1-") and device != "h1-04"]:
        running.off.discard(device)
        running.run.say(f"{device}/online", True)
    running.pass_time(600)

    assert running.told() == {("device-silent", "s/h1-04")}


def test_one_device_is_one_alarm_when_it_alone_is_cut(running: Tree) -> None:
    """A device is its own cause; its points are unknown by it and its neighbours are not."""
    running.run.observe(
        Reading("h0-00/online", running.run.now, False),
        Reading("h0-00/pressure_kpa", running.run.now, None, "unknown:no_answer"),
    )
    running.off.add("h0-00")
    running.pass_time(3_600)

    assert running.told() == {("device-silent", "s/h0-00")}
    assert {running.run.engine.cause_of("s", p) for d, p in running.points if d == "h0-00"} == {"s/h0-00"}
    assert {running.run.engine.cause_of("s", p) for d, p in running.points if d != "h0-00"} == {None}


def test_nobody_is_lost_when_the_broker_is_away(running: Tree) -> None:
    """Without a broker nothing can be heard: agents and devices are unknown by that cause and nobody is reported."""
    running.run.beats = False
    before = len(running.run.transitions)
    running.run.engine.broker(False, running.run.now)
    running.pass_time(7_200)

    assert running.run.transitions[before:] == []
    assert running.causes() == {"broker"}
    running.run.engine.broker(True, running.run.now)
    running.run.beats = True
    running.run.heartbeat()
    running.say_all(online=True)
    running.pass_time(600)
    assert running.standing() == {}
    assert running.causes() == {None}


def test_lost_agent_is_suppressed_when_the_broker_follows(running: Tree) -> None:
    """An agent that was reported before the broker is suppressed with it as cause."""
    running.run.agents["s", "edge"] = False
    running.run.engine.agent_heard("s", "edge", False, running.run.now)
    running.pass_time(60)
    running.run.engine.broker(False, running.run.now)
    running.run.commit()

    assert running.standing() == {("agent-lost", "s/edge"): True}
    assert running.run.transitions[-1].cause == "broker"
