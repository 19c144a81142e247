"""Whatever breaks and whatever people do: never ready on old data, and the primary rows give the same account."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract.messages import Reading
from gateway.control.client import ControlError
from gateway.duty.readiness_report import derived, difference, shown
from gateway.ledger.verify import Checked, damages
from tests.gateway.duty.stations import BEAT_MS, DEVICES, Stations, installed
from tests.gateway.harness import START_MS

PERIOD_MS = {"hydrant-01": 300_000, "hydrant-02": 300_000, "rack-01": 600_000, "tank-01": 300_000}
"""As the profiles say."""
DAY_MS = 86_400_000
Span = tuple[int, int]


class Town(Stations):
    """A world that writes down what is true, apart from the gateway."""

    def __init__(self, folder: Path) -> None:
        super().__init__(installed(folder, leave_out=("station-equipment-unchecked",)))
        self.spoken: dict[str, list[int]] = {device: [] for device in DEVICES}
        self.heard: dict[str, list[int]] = {"edge1": [], "edge2": []}
        self.away: list[Span] = []
        """When the gateway was told that something cannot be reached."""
        self.cut = False
        """The broker is away: nothing arrives."""

    def beat(self) -> None:
        if not self.cut:
            for agent in {"edge1", "edge2"} - self.dead:
                self.heard[agent].append(self.now_ms)
            super().beat()

    def speak(self) -> None:
        if not self.cut:
            super().speak()

    def say(self, device: str, **values: Any) -> None:
        self.spoken[device].append(self.now_ms)
        self.heard[DEVICES[device]].append(self.now_ms)
        super().say(device, **values)

    def old(self) -> list[Span]:
        """When something was older than two periods, or had never spoken, or was known not to answer."""
        found = list(self.away)
        for times, period_ms in [
            *((self.spoken[device], PERIOD_MS[device]) for device in DEVICES),
            *((times, BEAT_MS) for times in self.heard.values()),
        ]:
            known = [START_MS - 3 * period_ms, *times, self.now_ms + 3 * period_ms]
            found += [
                (max(a + 2 * period_ms, START_MS), min(b, self.now_ms))
                for a, b in pairwise(known)
                if a + 2 * period_ms < b
            ]
        return [span for span in found if span[0] < span[1]]

    # --- what happens --------------------------------------------------------------------------------------------

    def do(self, what: str, which: int, seconds: int) -> None:
        """Something happens, then time passes."""
        device, agent = list(DEVICES)[which], ("edge1", "edge2")[which % 2]
        if what == "kill device":
            self.dead.add(device)
        elif what == "kill agent":
            self.dead.add(agent)
        elif what == "mend":
            self.dead.clear()
            self.beat()
            self.speak()
        elif what == "device away" and DEVICES[device] not in self.dead:
            self._lose(device, DEVICES[device], [Reading(f"{device}/online", self.now_ms, False, "good")], seconds)
            return
        elif what == "line away" and agent not in self.dead:
            line = {"edge1": "tcp1", "edge2": "tcp2"}[agent]
            self._lose(f"line-{line}", agent, [Reading(f"line-{line}/online", self.now_ms, False, "good")], seconds)
            return
        elif what == "broker away":
            self.cut = True
            self.state.engine.broker(False, self.now_ms)
            self.live(seconds)
            self.cut = False
            self.state.engine.broker(True, self.now_ms)
        elif what == "gateway down":
            self.now_ms += seconds * 1000
            self.restart()
            self.turn()
            return
        elif what == "gateway hangs":
            self.now_ms += seconds * 1000
            self.turn()
            return
        elif what == "low water" and "edge2" not in self.dead and "tank-01" not in self.dead:
            self.say("tank-01", level_m=1.0)
        else:
            self._person(what, which)
        self.live(seconds)

    def _lose(self, device: str, agent: str, readings: list[Reading], seconds: int) -> None:
        since_ms = self.now_ms
        self.heard[agent].append(self.now_ms)
        self.read(*readings, agent=agent)
        self.dead.add(device)
        quiet = {name for name, its in DEVICES.items() if its == agent} if device.startswith("line") else set()
        self.dead |= quiet
        self.live(seconds)
        self.away.append((since_ms, self.now_ms))
        self.dead -= {device, *quiet}
        if agent not in self.dead:
            self.heard[agent].append(self.now_ms)
            self.read(Reading(f"{device}/online", self.now_ms, True, "good"), agent=agent)
        self.speak()

    def _person(self, what: str, which: int) -> None:
        alarms = [alarm for alarm in self.open if alarm.site == "shuiye"]
        try:
            if what == "acknowledge" and alarms:
                self.ask("alarm.acknowledge", alarm_id=alarms[which % len(alarms)].id, note="")
            elif what == "accept" and alarms:
                alarm = alarms[which % len(alarms)]
                until_ms = self.now_ms + 400_000
                args: dict[str, Any] = {
                    "rule": alarm.rule,
                    "subject": alarm.subject,
                    "reason": "known",
                    "until_ms": until_ms,
                }
                self.ask("risk.accept", site="shuiye", **args)
            elif what == "drill":
                self.ask("drill.open", site="shuiye", scope=["*"], until_ms=self.now_ms + 300_000, reason="drill")
            elif what == "tick":
                self.tick(result=("ok", "short", "ok", "ok")[which], note="one is lost", count=4)
        except ControlError:
            pass  # a second acknowledgement, a second drill: refused, and nothing has changed


EVENTS = st.tuples(
    st.sampled_from([
        "kill device", "kill agent", "mend", "mend", "device away", "line away", "broker away", "gateway down",
        "gateway hangs", "low water", "acknowledge", "accept", "drill", "tick",
    ]),
    st.integers(0, 3),
    st.sampled_from([15, 70, 640]),
)  # fmt: skip


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(EVENTS, min_size=2, max_size=6))
def test_never_ready_on_old_data_and_the_same_from_the_rows_when_anything_breaks(
    tmp_path: Path, events: list[tuple[str, int, int]]
) -> None:
    """0 s of false ready over every fault, and what was shown follows from the primary rows to the millisecond."""
    town = Town(tmp_path)
    town.begin()
    town.live(45)
    for event in events:
        town.do(*event)
    town.dead.clear()
    town.beat()
    town.speak()
    town.live(30)
    account = shown(town.connection, "shuiye", START_MS, town.now_ms)
    false_ms = sum(
        max(0, min(span.until_ms, until_ms) - max(span.from_ms, since_ms))
        for span in account.spans
        if span.verdict.level in ("ready", "degraded")
        for since_ms, until_ms in town.old()
    )
    assert false_ms == 0
    again = derived(town.connection, ["shuiye"], START_MS, town.now_ms)["shuiye"]
    assert difference(account, again) is None
    assert account.summary == again.summary
    assert account.summary.ms["unrecorded"] == 0
    assert [type(found) for found in damages(town.connection)] == [Checked]
