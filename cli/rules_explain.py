"""`weizhan rules explain ALARM`: why an alarm is what it is, from the ledger alone."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
import yaml
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from contract.errors import ConfigError
from gateway.control.protocol import AlarmView
from gateway.ledger.reader import LedgerReader
from gateway.ledger.records import NoticeRow, RuleVersion, TransitionRow
from gateway.ledger.store import FILE
from rules.model import Rule

ZONE = ZoneInfo("Asia/Shanghai")
"""Times are told in the time zone of the stations; --json has them in UTC ms."""
_WORDS = {
    "zh": {
        "violated": "条件开始成立",
        "raise": "报警",
        "clear": "恢复",
        "flap": "反复报警，合并计数",
        "suppress": "被抑制：原因在别处",
        "release": "抑制解除",
        "acknowledge": "确认",
        "assign": "指派",
        "note": "备注",
        "find": "核实结论",
        "shelve": "搁置",
        "unshelve": "取消搁置",
        "hold": "开始保持（维护、演练或停用）",
        "unhold": "结束保持",
        "close": "演练结束，关闭",
        "notice": "通知",
        "rule": "规则",
        "basis": "依据",
        "version": "版本",
        "subject": "对象",
        "inputs": "判定所依据的数据",
        "cause": "原因",
        "gone": "当时的规则文本没有保存",
        "late": "（事后补判）",
        "advice": "处置",
    },
    "en": {
        "violated": "condition begins to hold",
        "raise": "raised",
        "clear": "cleared",
        "flap": "came again, counted on the same alarm",
        "suppress": "suppressed: the cause lies elsewhere",
        "release": "no longer suppressed",
        "acknowledge": "acknowledged",
        "assign": "assigned",
        "note": "note",
        "find": "finding",
        "shelve": "shelved",
        "unshelve": "off the shelf",
        "hold": "held (maintenance, drill or out of service)",
        "unhold": "hold ended",
        "close": "closed at the drill's end",
        "notice": "message",
        "rule": "rule",
        "basis": "basis",
        "version": "version",
        "subject": "subject",
        "inputs": "decided on",
        "cause": "cause",
        "gone": "the record of the rule then in force was not kept",
        "late": " (retrospective)",
        "advice": "what to do",
    },
}


class Step(NamedTuple):
    """One line of the time line. what: event of the ledger, `violated` or `notice`. at_ms: event time."""

    at_ms: int
    what: str
    who: str
    text: str
    inputs: dict[str, Any]


class Explanation(NamedTuple):
    """Everything the ledger knows of one alarm. rule: as it was then; None where its record was not kept."""

    alarm: AlarmView
    kept: RuleVersion
    rule: Rule | None
    steps: list[Step]

    def to_data(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return {
            "alarm": msgspec.to_builtins(self.alarm),
            "rule": {
                "id": self.kept.id,
                "version": self.kept.version,
                "in_force_since_ms": self.kept.first_ms or None,
                "record": json.loads(self.kept.json) if self.kept.json else None,
            },
            "steps": [step._asdict() for step in self.steps],
        }


def explain_alarm(data_dir: Path, alarm_id: int) -> Explanation:
    """What the ledger in that folder knows of an alarm.

    Raises:
        ConfigError: no such alarm. RetryLater: no ledger there, or it cannot be read now.
    """
    with LedgerReader(data_dir / FILE) as ledger:
        alarm, kept = ledger.alarm(alarm_id), ledger.deciding_rule(alarm_id)
        if alarm is None or kept is None:
            newest = ledger.alarms(limit=1)
            known = f"1..{newest[0].id}" if newest else "none: the ledger has no alarm yet"
            raise ConfigError(f"alarm {alarm_id}: got no such alarm, want {known}.")
        transitions, notices = ledger.transitions(alarm_id), ledger.notices_of(alarm_id)
    rule = _rule_then(kept)
    steps = [*_begin(alarm, rule), *map(_step, transitions), *map(_notice, notices)]
    return Explanation(alarm, kept, rule, sorted(steps, key=lambda step: step.at_ms))


def print_explanation(found: Explanation, language: str) -> None:
    """For a terminal."""
    console, words = Console(highlight=False), _WORDS[language]
    alarm, rule = found.alarm, found.rule
    title = getattr(rule.title, language) if rule is not None else alarm.rule
    console.print(f"[bold]{alarm.id}: {title}[/bold]{words['late'] if alarm.retrospective else ''}")
    table = Table.grid(padding=(0, 2))
    table.add_row(words["subject"], alarm.subject)
    table.add_row(words["rule"], f"{found.kept.id}, {words['version']} {found.kept.version or '?'}")
    if rule is not None:
        table.add_row(words["basis"], getattr(rule.basis, language))
        for n, advice in enumerate(rule.advice):
            table.add_row(words["advice"] if n == 0 else "", f"{n + 1}. {getattr(advice, language)}")
    if alarm.cause is not None:
        table.add_row(words["cause"], alarm.cause)
    table.add_row(words["inputs"], tell_inputs(alarm.inputs))
    console.print(table)
    if rule is None:
        console.print(words["gone"])
    else:
        console.print(_record(rule), style="dim", soft_wrap=True)
    lines = Table("", "", "", "")
    lines.show_header = False
    for step in found.steps:
        about = "; ".join(
            part for part in (step.text, tell_inputs(step.inputs) if step.what != "raise" else "") if part
        )
        lines.add_row(tell_time(step.at_ms), words.get(step.what, step.what), step.who, about)
    console.print(lines)


def tell_time(at_ms: int) -> str:
    """A time for people, to the millisecond."""
    return datetime.fromtimestamp(at_ms / 1000, ZONE).isoformat(" ", "milliseconds")


def _rule_then(kept: RuleVersion) -> Rule | None:
    if not kept.json:
        return None
    try:
        return Rule.model_validate_json(kept.json)
    except ValidationError:  # kept by a version whose rules had another form; --json has the record
        return None


def _begin(alarm: AlarmView, rule: Rule | None) -> list[Step]:
    """When the condition began to hold, where the rule waits before it speaks."""
    if rule is None or not rule.for_s:
        return []
    return [Step(alarm.raised_ms - int(rule.for_s * 1000), "violated", "rule", f"{rule.for_s:g} s", {})]


def _step(row: TransitionRow) -> Step:
    return Step(row.event_ms, row.event, row.actor, row.note, row.inputs)


def _notice(row: NoticeRow) -> Step:
    told = [f"{row.channel}: {row.kind}, {row.state}"]
    told += [
        f"{name} {tell_time(at_ms)}"
        for name, at_ms in (("sent", row.sent_ms), ("delivered", row.delivered_ms), ("read", row.read_ms))
        if at_ms is not None
    ]
    told += [row.error] if row.error else []
    return Step(row.sent_ms or row.due_ms, "notice", row.person, ", ".join(told), {})


def tell_inputs(inputs: dict[str, Any]) -> str:
    """What a decision rests on, in one line; of a tree the leaves that decided."""
    because = inputs.get("because")
    if isinstance(because, list):
        return "; ".join(tell_inputs(leaf) for leaf in because if isinstance(leaf, dict))
    return ", ".join(f"{name} {_value(name, value)}" for name, value in inputs.items() if value is not None)


def _value(name: str, value: Any) -> str:
    if name.endswith("_ms") and isinstance(value, int | float) and value > 10**11:
        return tell_time(int(value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _record(rule: Rule) -> str:
    """What of the record decides, as it stands in a pack."""
    kept = rule.model_dump(
        mode="json", by_alias=True, exclude_defaults=True, exclude={"title", "advice", "basis", "id", "severity"}
    )
    text: str = yaml.safe_dump(kept, allow_unicode=True, sort_keys=False, default_flow_style=None, width=100)
    return text.rstrip()
