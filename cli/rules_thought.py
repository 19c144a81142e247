"""`weizhan rules explain --subject`: what each rule made of a device or point, and why nobody was called."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
from rich.console import Console

from cli.rules_explain import tell_inputs, tell_time
from cli.rules_golden import lead_s
from cli.rules_history import DAY_MS, Plant, load_plant, rules_of, run_replays
from cli.settings import Settings
from contract.errors import ConfigError
from gateway.control.protocol import AlarmView
from gateway.ledger.reader import LedgerReader
from gateway.ledger.store import FILE
from rules.lab import find_needed
from rules.model import Rule
from rules.replay import Replay, replayable
from rules.thought import Thought, think

_PHASES = {
    "zh": {"rest": "条件不成立", "pending": "成立，等待时限", "active": "报警中", "clearing": "正在恢复"},
    "en": {"rest": "does not hold", "pending": "holds, waits", "active": "alarm", "clearing": "ends"},
}
_UNKNOWN = {"zh": "不可知", "en": "not known"}


class Silence(NamedTuple):
    """What was thought, by the rules as they are now, and the alarms the ledger had of the subject at that moment."""

    subject: str
    at_ms: int
    thoughts: list[Thought]
    alarms: list[AlarmView]
    not_replayed: list[str]

    def to_data(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return {
            "subject": self.subject,
            "at_ms": self.at_ms,
            "thoughts": [thought._asdict() for thought in self.thoughts],
            "alarms": msgspec.to_builtins(self.alarms),
            "not_replayed": self.not_replayed,
        }


async def explain_silence(settings: Settings, subject: str, at: str | None) -> Silence:
    """Replay the history up to that moment and ask every rule that looks at the subject.

    Raises:
        ConfigError: nobody knows the subject; no rule looks at it; the time is none.
        RetryLater: ledger or history cannot be read now.
    """
    gateway = settings.gateway
    assert gateway is not None
    site, _, name = subject.partition("/")
    plant = load_plant(settings, site)
    rules = rules_of("current", gateway)
    at_ms = _moment(at, plant)
    watching = _watching(plant, rules, site, name)
    needed = find_needed(rules, {rule.id for rule in watching})
    back_ms = max(DAY_MS, int(1000 * max(lead_s(plant, rule, []) for rule in watching)))
    span = at_ms - back_ms, at_ms + 1
    replay = Replay(plant.engine(needed), plant.sources(), plant.silence_ms(), span[0])
    await run_replays(settings, plant, [replay], span, lambda *_: None)
    replay.end(at_ms)
    left_out = sorted(rule.id for rule in watching if rule.id not in replayable(rules))
    wanted = {rule.id for rule in watching}
    thoughts = [thought for thought in think(replay.engine, subject, at_ms) if thought.rule in wanted]
    return Silence(subject, at_ms, thoughts, _standing(settings, subject, at_ms), left_out)


def print_thoughts(found: Silence, language: str) -> None:
    """For a terminal."""
    console = Console(highlight=False)
    console.print(f"[bold]{found.subject}[/bold] {tell_time(found.at_ms)}")
    for thought in found.thoughts:
        word = _UNKNOWN[language] if thought.holds is None else _PHASES[language][thought.phase]
        since = f" {tell_time(thought.since_ms)}" if thought.since_ms is not None else ""
        kept = f" ← {thought.kept_by}" if thought.kept_by else ""
        console.print(f"[bold]{thought.rule}[/bold] {thought.subject}: {word}{since}{kept}", soft_wrap=True)
        told = tell_inputs(thought.inputs)
        if told:
            console.print(f"    {told}", style="dim", soft_wrap=True)
    for alarm in found.alarms:
        console.print(f"alarm {alarm.id}: {alarm.rule} {alarm.state} {alarm.hold or ''}".rstrip())
    if found.not_replayed:
        console.print(f"note: not replayed, because no history keeps heartbeats: {', '.join(found.not_replayed)}")


def _watching(plant: Plant, rules: Mapping[str, Rule], site: str, name: str) -> list[Rule]:
    engine = plant.engine(rules)
    device, _, point = name.partition("/")
    if not engine.knows(site, device):
        known = sorted({key.split("/")[1] for key, _ in engine.values() if key.startswith(f"{site}/")})
        raise ConfigError(f"--subject: got device {site}/{device}, want one of {', '.join(known)}.")
    names = {key for key, _ in engine.values()}
    if point and f"{site}/{name}" not in names and f"{site}/{name}" not in plant.points:
        known = sorted(key.split("/")[2] for key in names if key.startswith(f"{site}/{device}/"))
        raise ConfigError(f"--subject: got point {point!r} of {site}/{device}, want one of {', '.join(known)}.")
    found = {watch.rule.id: watch.rule for watch in engine.watching(f"{site}/{name}")}
    if not found:
        raise ConfigError(f"--subject: no rule looks at {site}/{name}; so it can raise no alarm.")
    return list(found.values())


def _standing(settings: Settings, subject: str, at_ms: int) -> list[AlarmView]:
    assert settings.gateway is not None
    site, _, name = subject.partition("/")
    with LedgerReader(settings.gateway.data_dir / FILE) as ledger:
        alarms = ledger.alarms(site=site, device=name.partition("/")[0], limit=10_000)
    return [
        alarm
        for alarm in alarms
        if (alarm.subject == subject or alarm.subject.startswith(f"{subject}/"))
        and alarm.raised_ms <= at_ms
        and (alarm.cleared_ms is None or alarm.cleared_ms > at_ms)
    ]


def _moment(text: str | None, plant: Plant) -> int:
    if text is None:
        if plant.latest_ms is None:
            raise ConfigError("--at: got nothing, and the ledger has no reading yet. Give a time.")
        return plant.latest_ms
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as exc:
        raise ConfigError(f"--at: got {text!r}, want a time such as 2026-03-01T08:00+08:00.") from exc
    return int((moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp() * 1000)
