"""`weizhan rules lab diff`: the stored history through two sets of rules."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from cli.rules_explain import tell_time
from cli.rules_history import Plant, load_plant, parse_span, rules_of, run_replays
from cli.settings import Settings
from contract.errors import ConfigError
from rules.lab import Diff, compare_runs, draw_bar, find_affected, find_needed
from rules.model import Rule
from rules.replay import PastAlarm, Replay, replayable

BAR = 60
"""Columns of a drawn time line."""
MOST_CHANGES = 40
"""Changes that are printed; JSON and the report have them all."""
MOST_BARS = 20


class Comparison(NamedTuple):
    """A diff with what it came from."""

    diff: Diff
    runs: tuple[list[PastAlarm], list[PastAlarm]]
    rules: tuple[Mapping[str, Rule], Mapping[str, Rule]]
    names: tuple[str, str]
    plant: Plant
    compared: set[str]
    """Rules that may decide otherwise, and so were replayed and counted."""
    readings: int
    took_s: float

    @property
    def left_out(self) -> list[str]:
        """Rules that no history can answer for."""
        left_out = {rule for each in self.rules for rule in each if rule not in replayable(each)}
        return sorted(left_out & self.compared)

    def about(self) -> dict[str, Any]:
        """What it rests on, for JSON: nothing that differs between two runs of the same history."""
        gaps = [gap for gap in self.plant.gaps if self._is_within(gap.first_ms, gap.last_ms)]
        return {
            "old": self.names[0],
            "new": self.names[1],
            "readings": self.readings,
            "compared": sorted(self.compared),
            "alarms": {"before": len(self.runs[0]), "after": len(self.runs[1])},
            "not_replayed": self.left_out,
            "gaps": [
                {name: getattr(gap, name) for name in ("site", "agent", "readings", "first_ms", "last_ms", "reason")}
                for gap in gaps
            ],
        }

    def _is_within(self, first_ms: int | None, last_ms: int | None) -> bool:
        if first_ms is None or last_ms is None:
            return True
        return first_ms < self.diff.until_ms and last_ms >= self.diff.from_ms


async def compare_on_history(
    settings: Settings, names: tuple[str, str], history: str, until: str | None, site: str | None, every: bool = False
) -> Comparison:
    """Replay the history through both sets of rules.

    Args:
        every: every rule is replayed and counted, not only those that may decide otherwise.

    Raises:
        ConfigError: a folder, pack, site or time is wrong. RetryLater: the store is away.
    """
    gateway = settings.gateway
    assert gateway is not None
    length_ms = parse_span(history)
    rules = rules_of(names[0], gateway), rules_of(names[1], gateway)
    plant = load_plant(settings, site)
    until_ms = _until(until, plant)
    span = until_ms - length_ms, until_ms
    sources, silence = plant.sources(), plant.silence_ms()
    compared = set(rules[0].keys() | rules[1].keys()) if every else find_affected(*rules)
    replays = [Replay(plant.engine(find_needed(each, compared)), sources, silence, span[0]) for each in rules]
    started = time.monotonic()
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[readings]:,} readings")
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("replay", total=span[1] - span[0], readings=0)
        readings = await run_replays(
            settings, plant, replays if compared else [], span,
            lambda at_ms, count: progress.update(task, completed=at_ms - span[0], readings=count),
        )  # fmt: skip
    before, after = ([a for a in replay.end(span[1]) if a.rule in compared] for replay in replays)
    diff = compare_runs(before, after, rules, span, plant.zones)
    return Comparison(diff, (before, after), rules, names, plant, compared, readings, time.monotonic() - started)


def print_diff(found: Comparison) -> None:
    """The comparison for a terminal."""
    console = Console(highlight=False)
    diff = found.diff
    days = (diff.until_ms - diff.from_ms) / 86_400_000
    console.print(
        f"{found.names[0]} → {found.names[1]}: {days:g} days to {_when(diff.until_ms)}, {found.readings:,} readings, "
        f"{len(found.compared)} rules, {found.took_s:.1f} s"
    )
    _print_rules(console, diff)
    _print_bars(console, found)
    _print_changes(console, diff)
    _print_pages(console, diff)
    for gap in found.about()["gaps"]:
        span = f"{_when(gap['first_ms'])} to {_when(gap['last_ms'])}" if gap["first_ms"] is not None else "unknown span"
        console.print(f"note: {gap['site']}/{gap['agent']} lost {gap['readings']} readings ({span}): {gap['reason']}")
    if found.left_out:
        console.print(f"note: not replayed, because no history keeps heartbeats: {', '.join(found.left_out)}")
    if diff.is_empty:
        console.print("Both decide the same.")


def _print_rules(console: Console, diff: Diff) -> None:
    if not diff.rules:
        console.print("No rule differs.")
        return
    table = Table("rule", "record", "before", "after", "gained", "lost", "changed")
    for rule in diff.rules:
        table.add_row(rule.rule, rule.state, *(str(number) for number in rule[2:]))
    console.print(table)


def _print_bars(console: Console, found: Comparison) -> None:
    diff = found.diff
    touched = [rule.rule for rule in diff.rules if rule.gained or rule.lost or rule.changed]
    for rule in touched[:MOST_BARS]:
        console.print(rule)
        for name, run in zip(("before", "after"), found.runs, strict=True):
            bar = draw_bar((alarm for alarm in run if alarm.rule == rule), (diff.from_ms, diff.until_ms), BAR)
            console.print(f"  {name:>6} {bar}")


def _print_changes(console: Console, diff: Diff) -> None:
    for change in diff.changes[:MOST_CHANGES]:
        sign = {"gained": "[red]+[/red]", "lost": "[green]-[/green]", "changed": "[yellow]~[/yellow]"}[change.kind]
        told = [_span(alarm) for alarm in (change.before, change.after) if alarm is not None]
        console.print(f"{sign} {change.rule} {change.subject} {' → '.join(told)}", soft_wrap=True)
    if len(diff.changes) > MOST_CHANGES:
        console.print(f"... {len(diff.changes) - MOST_CHANGES} more; --json or --html has them all.")


def _print_pages(console: Console, diff: Diff) -> None:
    table = Table("", "before", "after", title="pages a shift of 8 hours, of these rules")
    before, after = diff.pages
    table.add_row("mean", f"{before.mean:g}", f"{after.mean:g}")
    worst = [f"{each.most} ({_when(each.worst_ms)})" if each.worst_ms is not None else "0" for each in diff.pages]
    table.add_row("most", *worst)
    table.add_row("in all", str(before.total), str(after.total))
    console.print(table)
    for name, told in zip(("before", "after"), diff.chatter, strict=True):
        if told:
            console.print(
                f"top chatter {name}: " + ", ".join(f"{rule} {subject} {n}×" for rule, subject, n in told[:5])
            )


def _until(text: str | None, plant: Plant) -> int:
    if text is None:
        return plant.latest_ms + 1 if plant.latest_ms is not None else int(time.time() * 1000)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as exc:
        raise ConfigError(f"--until: got {text!r}, want a time such as 2026-03-01T08:00+08:00.") from exc
    return int((moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _span(alarm: PastAlarm) -> str:
    end = "still up" if alarm.cleared_ms is None else _when(alarm.cleared_ms)
    return f"{_when(alarm.raised_ms)} to {end}" + (f" ×{alarm.count}" if alarm.count > 1 else "")


def _when(at_ms: int) -> str:
    return tell_time(at_ms)[:19]
