"""Two runs of the same history compared: alarms gained, lost and changed, pages a shift, top chatter. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

from rules.model import AlarmIs, Findings, Rule
from rules.replay import PastAlarm

SHIFT_H = 8
PAGED = frozenset({"fire", "critical", "warning"})
"""Severities that call somebody; `info` stands on the board only."""
NEAR_MS = 60_000
"""Two alarms of one rule and subject that do not overlap are the same one when they begin this close together."""
CHATTER = 10
"""Sources of the most alarms that are named."""


class Change(NamedTuple):
    """An alarm that the two runs see differently. gained: `before` is None; lost: `after` is None."""

    kind: Literal["gained", "lost", "changed"]
    rule: str
    subject: str
    before: PastAlarm | None
    after: PastAlarm | None

    @property
    def at_ms(self) -> int:
        """When it began, by the run that has it first."""
        return min(alarm.raised_ms for alarm in (self.before, self.after) if alarm is not None)

    @property
    def later_ms(self) -> int:
        """How much later it is raised than before; 0 for one that only one run has."""
        return self.after.raised_ms - self.before.raised_ms if self.before and self.after else 0


class Shifts(NamedTuple):
    """Pages a shift of 8 hours, over all shifts of the span, the quiet ones too."""

    total: int
    shifts: int
    mean: float
    most: int
    worst_ms: int | None
    """Start of the shift with the most; None when there was none at all."""
    by_count: dict[int, int]
    """Pages -> number of shifts that had so many."""


class RuleDiff(NamedTuple):
    """What became of one rule. state: same | changed | added | removed (of its record)."""

    rule: str
    state: str
    before: int
    after: int
    gained: int
    lost: int
    changed: int


class Diff(NamedTuple):
    """The whole comparison. Times are ms UTC."""

    from_ms: int
    until_ms: int
    rules: list[RuleDiff]
    changes: list[Change]
    pages: tuple[Shifts, Shifts]
    chatter: tuple[list[tuple[str, str, int]], list[tuple[str, str, int]]]
    """(rule, subject, raises), the most first: before, after."""

    @property
    def is_empty(self) -> bool:
        """Whether both runs decided the same."""
        return not self.changes


def find_affected(old: Mapping[str, Rule], new: Mapping[str, Rule]) -> set[str]:
    """Rules that may decide otherwise: those whose record differs, and those that look at or give way to one."""
    found = {
        rule_id
        for rule_id in old.keys() | new.keys()
        if rule_id not in old or rule_id not in new or old[rule_id].version != new[rule_id].version
    }
    while more := {r.id for each in (old, new) for r in each.values() if r.id not in found and named_by(r) & found}:
        found |= more
    return found


def find_needed(rules: Mapping[str, Rule], wanted: set[str]) -> dict[str, Rule]:
    """The rules that have a say in what the wanted ones decide: themselves, those they name, and those about silence
    and lines, which explain alarms below them."""
    needed = {r.id for r in rules.values() if r.id in wanted or r.when.kind in ("absence", "line_lost", "agent_lost")}
    while more := {name for rule_id in needed for name in named_by(rules[rule_id])} & rules.keys() - needed:
        needed |= more
    return {rule_id: rule for rule_id, rule in rules.items() if rule_id in needed}


def named_by(rule: Rule) -> set[str]:
    """Rules whose alarms this one looks at or gives way to."""
    named = {inhibit.rule for inhibit in rule.inhibit_by}
    return named.union(*(leaf.rules for leaf in rule.leaves() if isinstance(leaf, AlarmIs | Findings)))


def compare_runs(
    before: Sequence[PastAlarm],
    after: Sequence[PastAlarm],
    rules: tuple[Mapping[str, Rule], Mapping[str, Rule]],
    span: tuple[int, int],
    zones: Mapping[str, ZoneInfo],
) -> Diff:
    """What the second rules would have made of the history that the first made `before` of.

    Args:
        rules: of the first and of the second run. span: from_ms, until_ms of the history.
        zones: time zone of each site, for its shifts.
    """
    changes = compare_alarms(before, after)
    return Diff(
        *span,
        list(_by_rule(before, after, rules, changes)),
        changes,
        (count_pages(before, span, zones), count_pages(after, span, zones)),
        (chatter(before), chatter(after)),
    )


def compare_alarms(before: Iterable[PastAlarm], after: Iterable[PastAlarm]) -> list[Change]:
    """Alarms that one run has and the other has not, or has otherwise; in order of time."""
    old, new = _by_subject(before), _by_subject(after)
    changes: list[Change] = []
    for key in sorted(old.keys() | new.keys()):
        changes += _pair(key, old.get(key, []), new.get(key, []))
    return sorted(changes, key=lambda change: (change.at_ms, change.rule, change.subject))


def count_pages(alarms: Iterable[PastAlarm], span: tuple[int, int], zones: Mapping[str, ZoneInfo]) -> Shifts:
    """Pages of each shift (from 00:00, 08:00 and 16:00 of the site's clock). A flapping alarm calls once."""
    counts: Counter[tuple[str, str, int]] = Counter()
    starts: dict[tuple[str, str, int], int] = {}
    for alarm in alarms:
        if alarm.severity not in PAGED or alarm.suppressed:
            continue
        local = _local(alarm.raised_ms, zones.get(alarm.site))
        shift = (alarm.site, local.date().isoformat(), local.hour // SHIFT_H)
        counts[shift] += 1
        begun = local.replace(hour=local.hour // SHIFT_H * SHIFT_H, minute=0, second=0, microsecond=0)
        starts[shift] = int(begun.timestamp() * 1000)
    all_shifts = max(len(counts), len(zones or [1]) * max(1, round((span[1] - span[0]) / (SHIFT_H * 3_600_000))))
    by_count = Counter(counts.values())
    by_count[0] = all_shifts - len(counts)
    worst = max(counts, key=lambda shift: (counts[shift], shift), default=None)
    total = sum(counts.values())
    return Shifts(
        total,
        all_shifts,
        round(total / all_shifts, 3),
        counts[worst] if worst else 0,
        starts[worst] if worst else None,
        {pages: shifts for pages, shifts in sorted(by_count.items()) if shifts},
    )


def chatter(alarms: Iterable[PastAlarm], most: int = CHATTER) -> list[tuple[str, str, int]]:
    """Rules and subjects that spoke the most often: (rule, subject, raises). Once is no chatter."""
    counts: Counter[tuple[str, str]] = Counter()
    for alarm in alarms:
        counts[alarm.rule, alarm.subject] += alarm.count
    found = [(rule, subject, count) for (rule, subject), count in counts.items() if count > 1]
    return sorted(found, key=lambda item: (-item[2], item[0], item[1]))[:most]


def draw_bar(alarms: Iterable[PastAlarm], span: tuple[int, int], width: int) -> str:
    """When alarms stood, as text: `█` most of the column's time, `▄` a part of it, `·` none."""
    from_ms, until_ms = span
    column_ms = max(1.0, (until_ms - from_ms) / width)
    covered = [0.0] * width
    for alarm in alarms:
        start = max(alarm.raised_ms, from_ms)
        end = max(start + 1, min(until_ms if alarm.cleared_ms is None else alarm.cleared_ms, until_ms))
        for column in range(int((start - from_ms) / column_ms), min(width, int((end - 1 - from_ms) / column_ms) + 1)):
            left = from_ms + column * column_ms
            covered[column] += max(1e-9, min(end, left + column_ms) - max(start, left))
    return "".join("█" if part > column_ms / 2 else "▄" if part else "·" for part in covered)


def to_data(diff: Diff) -> dict[str, Any]:
    """The comparison as plain data, for JSON."""
    return {
        "from_ms": diff.from_ms,
        "until_ms": diff.until_ms,
        "rules": [rule._asdict() for rule in diff.rules],
        "changes": [
            {
                "kind": change.kind,
                "rule": change.rule,
                "subject": change.subject,
                "later_ms": change.later_ms,
                "before": change.before._asdict() if change.before else None,
                "after": change.after._asdict() if change.after else None,
            }
            for change in diff.changes
        ],
        "pages_per_shift": {
            name: shifts._asdict() for name, shifts in zip(("before", "after"), diff.pages, strict=True)
        },
        "chatter": dict(zip(("before", "after"), diff.chatter, strict=True)),
    }


def _by_subject(alarms: Iterable[PastAlarm]) -> dict[tuple[str, str], list[PastAlarm]]:
    found: dict[tuple[str, str], list[PastAlarm]] = {}
    for alarm in alarms:
        found.setdefault((alarm.rule, alarm.subject), []).append(alarm)
    return found


def _pair(key: tuple[str, str], old: list[PastAlarm], new: list[PastAlarm]) -> list[Change]:
    """Both lists are in order of time, and the alarms of one list never overlap."""
    changes: list[Change] = []
    o = n = 0
    while o < len(old) or n < len(new):
        first = old[o] if o < len(old) else None
        second = new[n] if n < len(new) else None
        if first is not None and second is not None and _is_one(first, second):
            if _told(first) != _told(second):
                changes.append(Change("changed", *key, first, second))
            o, n = o + 1, n + 1
        elif second is None or (first is not None and first.raised_ms <= second.raised_ms):
            changes.append(Change("lost", *key, first, None))
            o += 1
        else:
            changes.append(Change("gained", *key, None, second))
            n += 1
    return changes


def _is_one(first: PastAlarm, second: PastAlarm) -> bool:
    if abs(first.raised_ms - second.raised_ms) <= NEAR_MS:
        return True
    ends = [2**62 if alarm.cleared_ms is None else alarm.cleared_ms for alarm in (first, second)]
    return first.raised_ms < ends[1] and second.raised_ms < ends[0]


def _told(alarm: PastAlarm) -> tuple[object, ...]:
    """What people see of it; the version of its rule is none of that."""
    return alarm.severity, alarm.raised_ms, alarm.cleared_ms, alarm.count, alarm.suppressed


def _by_rule(
    before: Iterable[PastAlarm],
    after: Iterable[PastAlarm],
    rules: tuple[Mapping[str, Rule], Mapping[str, Rule]],
    changes: Iterable[Change],
) -> Iterable[RuleDiff]:
    counts = [Counter(alarm.rule for alarm in run) for run in (before, after)]
    kinds = Counter((change.rule, change.kind) for change in changes)
    old, new = rules
    for rule in sorted(old.keys() | new.keys()):
        if rule not in old or rule not in new:
            state = "removed" if rule in old else "added"
        else:
            state = "same" if old[rule].version == new[rule].version else "changed"
        found = RuleDiff(
            rule, state, counts[0][rule], counts[1][rule],
            kinds[rule, "gained"], kinds[rule, "lost"], kinds[rule, "changed"],
        )  # fmt: skip
        if state != "same" or any(found[2:]):
            yield found


def _local(at_ms: int, zone: ZoneInfo | None) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, zone or ZoneInfo("UTC"))
