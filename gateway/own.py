"""What the gateway knows of itself and of its agents, as readings like any other: judged, stored, shown. Pure.

    system/gateway            broker, history, disk, ledger, certificates, notification, quarantine, time not running
    {site}/agent-{agent}      outbox and clock of an agent, from its heartbeats; unknown while the agent is lost

A reading is made when it moved by its point's deadband, when its quality changed, and after `max_silence_s`; what was
said last is what the engine holds, so a restart repeats nothing. Each turn's own readings are one batch of the agent
`gateway`, numbered in the same transaction that writes them.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

from contract import quality as q
from contract.messages import Reading, Value
from contract.profile import AGENT_PROFILE, GATEWAY_PROFILE, Point, Profile
from contract.site import GATEWAY_DEVICE, SYSTEM_SITE, agent_device
from gateway.control.protocol import AgentView
from gateway.ledger.changes import ALIVE
from gateway.state import WorkingState
from gateway.turn import OWN_AGENT, OWN_EPOCH, Turn

TOLD_MS = 300_000
"""`stopped_s` stands for so long after a start, then it is 0 again."""
SWEEP_MS = 60_000
"""Every agent is looked at this often; one of which something new is known, at once."""
LOOK_S = 1.0
ALIVE_S = 10.0
"""That the gateway runs is written down this often, so that the next start can tell how long none ran."""
HELD_UP_S = 5.0
"""A longer pause between two signs of itself means that this process did not run: messages wait, nobody was silent."""
STOPPED_S = 30.0
"""Such a pause is told like a stop."""
AGENT_LOST = q.unknown("agent_lost")
AHEAD_MS = 600_000
"""A time further ahead than this is of a clock that was wrong then."""
OWN_DEVICE = re.compile(rf"{SYSTEM_SITE}/{GATEWAY_DEVICE}/|[^/]+/{agent_device('')}")


class Said(NamedTuple):
    """What was last said of a point."""

    value: Value
    quality: str
    at_ms: int


class Facts(NamedTuple):
    """The gateway's own state. None: not known, or there is no such thing."""

    broker_connected: bool
    history_away: bool
    history_lag_s: float
    disk_free_pct: float | None = None
    ledger_mb: float | None = None
    certificate_days: float | None = None
    notify_failing: bool | None = None
    quarantine_count: float | None = None
    backup_age_h: float | None = None
    backup: str | None = None


class OwnReadings:
    """Decides which own readings are news, and adds them to the pipeline's turns.

    Args:
        facts: tells them; must not wait.
        stopped_s: how long no gateway ran before this start; 0 when nobody knows.
        monotonic: seconds.
    """

    def __init__(
        self, facts: Callable[[], Facts], stopped_s: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._facts = facts
        self._monotonic = monotonic
        self._state: object = None
        self._installation: object = None
        self._alive_s = float("-inf")
        self._stopped_s = stopped_s
        self._stopped_until_ms: int | None = None
        self._said: dict[str, Said] = {}
        self._views: dict[tuple[str, str], AgentView] = {}
        self._sweep_ms = 0
        self._told: Facts | None = None
        self._hops: Mapping[tuple[str, str], str] = {}
        self._looked_s = float("-inf")
        self._ran_s: float | None = None
        self._paused_s = 0.0
        self._was_turn = True

    def is_due(self, state: WorkingState) -> bool:
        """Whether there may be something to add to a turn. Ask each second, so that a pause shows."""
        now_s = self._monotonic()
        self._note_running(now_s)
        if self._paused_s > 0 or now_s - self._alive_s >= ALIVE_S or self._facts() != self._told:
            return True
        if not self._was_turn:
            return False
        self._was_turn = False  # agents and tests of the ways change only in turns
        return state.notification.proofs.hops() != self._hops or any(
            self._views.get(key) is not view for key, view in state.agents.items()
        )

    def _note_running(self, now_s: float) -> None:
        if self._ran_s is not None and now_s - self._ran_s >= HELD_UP_S:
            self._paused_s += now_s - self._ran_s
        self._ran_s = now_s

    def add_to(self, turn: Turn) -> None:
        """Add what is news to a turn, at most once a second. Call it before the turn is finished."""
        now_s, state, facts = self._monotonic(), turn.state, self._facts()
        self._note_running(now_s)
        self._was_turn = True
        is_new = self._state is not state or self._installation is not state.installation
        if is_new:  # built from the ledger, or another site file: the engine tells what was told
            self._state, self._installation, self._sweep_ms = state, state.installation, 0
            self._said = {
                point: Said(slot.value, slot.quality, slot.observed_ms)
                for point, slot in state.engine.values()
                if slot.received_ms and OWN_DEVICE.match(point)
            }
        told = self._told
        if not is_new and now_s - self._looked_s < LOOK_S and told and facts.broker_connected is told.broker_connected:
            return
        self._looked_s, self._told = now_s, facts
        paused_s, self._paused_s = self._paused_s, 0.0
        if paused_s:
            state.engine.woke(turn.now_ms)
        if paused_s >= STOPPED_S:
            self._stopped_s, self._stopped_until_ms = paused_s, turn.now_ms + TOLD_MS
        state.engine.broker(facts.broker_connected, turn.now_ms)
        hops = self._hops = state.notification.proofs.hops()
        for site, readings in self.look(facts, state.agents, hops, state.engine.knows, turn.now_ms):
            turn.take_own(site, OWN_AGENT, OWN_EPOCH, readings)
        if now_s - self._alive_s >= ALIVE_S / 2:  # before it is due, in a turn there is anyway
            self._alive_s = now_s
            turn.changes.steps.append(partial(note_alive, now_ms=turn.now_ms))

    def look(
        self,
        facts: Facts,
        agents: Mapping[tuple[str, str], AgentView],
        hops: Mapping[tuple[str, str], str],
        knows: Callable[[str, str], bool],
        now_ms: int,
    ) -> Iterator[tuple[str, list[Reading]]]:
        """News by site.

        Args:
            agents: what is known of them. hops: `path_hop` of (site, device), where there is one.
            knows: whether a (site, device) is installed.
        """
        if knows(SYSTEM_SITE, GATEWAY_DEVICE):
            values = {**self._system(facts, now_ms), "path_hop": hops.get((SYSTEM_SITE, GATEWAY_DEVICE))}
            news = list(self._news(SYSTEM_SITE, GATEWAY_DEVICE, GATEWAY_PROFILE, values, now_ms))
            if news:
                yield SYSTEM_SITE, news
        if not self._sweep_ms - SWEEP_MS <= now_ms < self._sweep_ms:
            self._sweep_ms = now_ms + SWEEP_MS
            self._views.clear()
        by_site: dict[str, list[Reading]] = {}
        for (site, agent), view in agents.items():
            device = agent_device(agent)
            if self._views.get((site, agent)) is view:
                continue
            self._views[site, agent] = view
            if not knows(site, device):
                continue
            told = {**_of_agent(view), "path_hop": hops.get((site, device))}
            quality = q.GOOD if view.online else AGENT_LOST
            news = list(self._news(site, device, AGENT_PROFILE, told, now_ms, quality))
            if news:
                by_site.setdefault(site, []).extend(news)
        yield from by_site.items()

    def _system(self, facts: Facts, now_ms: int) -> dict[str, Value]:
        if self._stopped_until_ms is None:
            self._stopped_until_ms = now_ms + TOLD_MS
        stopped_s = self._stopped_s if now_ms < self._stopped_until_ms else 0.0
        failing = facts.notify_failing
        return {
            **facts._asdict(),
            "notify_failing": None if failing is None else "failing" if failing else "ok",
            "stopped_s": round(stopped_s, 1),
        }

    def _news(
        self, site: str, device: str, profile: Profile, values: Mapping[str, Value], now_ms: int, quality: str = q.GOOD
    ) -> Iterator[Reading]:
        for point in profile.points:
            value = values.get(point.name)
            if value is None:
                continue
            said = value if quality == q.GOOD else None
            last = self._said.get(f"{site}/{device}/{point.name}")
            if last is not None and _is_old_news(last, point, said, quality, now_ms, profile.max_silence_s):
                continue
            at_ms = now_ms
            if last is not None and 0 <= last.at_ms - now_ms < AHEAD_MS:  # our clock was set back a little
                at_ms = last.at_ms + 1
            self._said[f"{site}/{device}/{point.name}"] = Said(said, quality, at_ms)
            yield Reading(f"{device}/{point.name}", at_ms, said, quality)


def _of_agent(view: AgentView) -> dict[str, Value]:
    """From its latest heartbeat; empty before the first."""
    said = view.state
    outbox = said.get("outbox")
    if not isinstance(outbox, dict):
        return {}
    return {
        "outbox_count": float(outbox.get("alarm", 0) + outbox.get("telemetry", 0)),
        "outbox_age_s": float(outbox.get("unacknowledged_s", 0.0)),
        "clock_offset_ms": float(view.clock_offset_ms),
        "clock_stepped_ms": float(said.get("stepped_ms", 0)),
    }


def _is_old_news(last: Said, point: Point, value: Value, quality: str, now_ms: int, silence_s: float) -> bool:
    if last.quality != quality or not -AHEAD_MS < now_ms - last.at_ms < silence_s * 1000:
        return False
    if isinstance(value, float) and isinstance(last.value, float):
        return value == last.value or abs(value - last.value) < point.deadband
    return value == last.value


def note_alive(connection: sqlite3.Connection, now_ms: int) -> None:
    """Write down that the gateway runs."""
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (ALIVE, str(now_ms)))


def read_stopped_s(connection: sqlite3.Connection, now_ms: int) -> float:
    """Seconds since a gateway last ran on this ledger; 0 when none ever did."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (ALIVE,)).fetchone()
    return 0.0 if row is None else max(0, now_ms - int(row[0])) / 1000
