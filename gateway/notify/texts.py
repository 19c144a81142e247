"""What messages say, in both languages. Pure. Plain text: control characters of names never get through.

A message about one alarm says what, where, since when and what to do first; one about many says how many of what,
and names the worst.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Literal, NamedTuple, Protocol
from zoneinfo import ZoneInfo

import msgspec

from contract.profile import Text
from gateway.control.protocol import AlarmView

Kind = Literal["alarm", "escalation", "repeat", "clear", "late", "call", "proof", "test"]
"""late: an alarm that was over before the gateway heard of it; call: to a fire elsewhere; test: sent by hand."""
SEEN = Text(zh="人工报告的火情", en="Fire that somebody saw")
"""What stands for the rule where no alarm tells of the fire."""
RANK = {"fire": 0, "critical": 1, "warning": 2, "info": 3}
SEVERITY = {
    "fire": ("火警", "FIRE"),
    "critical": ("严重", "CRITICAL"),
    "warning": ("警告", "Warning"),
    "info": ("提示", "Note"),
}
KIND = {
    "alarm": ("", ""),
    "escalation": ("升级·", "Escalated: "),
    "repeat": ("仍未确认·", "Not acknowledged: "),
    "clear": ("已恢复·", "Over: "),
    "late": ("补报·", "Late report: "),
    "call": ("请求增援·", "Assistance wanted: "),
}
KINDS_OF_DIGEST = 5
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")
LONGEST_NAME = 120


class Facts(msgspec.Struct, frozen=True):
    """What a message needs of an alarm; kept with its escalation, because the alarm itself may be closed before."""

    id: int
    rule: str
    subject: str
    site: str
    device: str | None
    severity: str
    raised_ms: int
    active: bool
    cleared_ms: int | None = None
    cause: str | None = None
    drill: bool = False
    text: str = ""
    """What somebody said of it."""


def facts_of(alarm: AlarmView) -> Facts:
    """The part of an alarm that messages speak of."""
    return Facts(
        alarm.id, alarm.rule, alarm.subject, alarm.site, alarm.device, alarm.severity, alarm.raised_ms, alarm.active,
        alarm.cleared_ms, alarm.cause, alarm.hold == "drill",
    )  # fmt: skip


class Names(Protocol):
    """Names for people of what stands in rules and site files."""

    def rule(self, rule_id: str) -> Text: ...

    def advice(self, rule_id: str) -> Sequence[Text]: ...

    def place(self, facts: Facts) -> Text: ...

    def site(self, site_id: str) -> Text: ...


class Message(NamedTuple):
    """Title and text in both languages."""

    title_zh: str
    title_en: str
    text_zh: str
    text_en: str


class Writer:
    """Writes messages. zone: in which times are told."""

    def __init__(self, names: Callable[[], Names], zone: str) -> None:
        self._names = names
        self._zone = ZoneInfo(zone)

    def one(self, facts: Facts, kind: Kind) -> Message:
        """A message about one alarm."""
        names = self._names()
        place, advice = names.place(facts), names.advice(facts.rule)
        rule = names.rule(facts.rule) if facts.rule else SEEN
        lines: list[tuple[str, str]] = [(f"发生 {self._at(facts.raised_ms)}", f"Since {self._at(facts.raised_ms)}")]
        if facts.text:
            lines.insert(0, (facts.text, facts.text))
        if facts.cleared_ms is not None:
            lines.append((f"恢复 {self._at(facts.cleared_ms)}", f"Over {self._at(facts.cleared_ms)}"))
        if kind in ("alarm", "escalation", "repeat", "call"):
            lines += [(f"· {step.zh}", f"- {step.en}") for step in advice[:2]]
        severity, mark = SEVERITY[facts.severity], KIND[kind]
        drill = ("【演练】", "[TEST] ") if facts.drill else ("", "")
        return Message(
            clean(f"{drill[0]}【{mark[0]}{severity[0]}】{place.zh}：{rule.zh}", 200),
            clean(f"{drill[1]}{mark[1]}{severity[1]} {place.en}: {rule.en}", 200),
            "\n".join(clean(line[0], 400) for line in lines),
            "\n".join(clean(line[1], 400) for line in lines),
        )

    def many(self, items: Sequence[tuple[Facts, Kind]]) -> Message:
        """A message about many alarms: counts by rule, and the worst of them."""
        if len(items) == 1:
            return self.one(*items[0])
        names = self._names()
        worst, worst_kind = min(items, key=lambda item: (item[1] == "clear", RANK[item[0].severity], item[0].raised_ms))
        over = sum(kind == "clear" for _, kind in items)
        sites = {facts.site for facts, _ in items}
        where = names.site(worst.site) if len(sites) == 1 else Text(zh=f"{len(sites)} 个站点", en=f"{len(sites)} sites")
        severity, new = SEVERITY[worst.severity], len(items) - over
        head_zh = "，".join(part for part in (f"{new} 条报警" * bool(new), f"{over} 条恢复" * bool(over)) if part)
        head_en = ", ".join(part for part in (f"{new} alarms" * bool(new), f"{over} over" * bool(over)) if part)
        single = self.one(worst, worst_kind)
        lines = [(f"最重 {single.title_zh}", f"Worst: {single.title_en}")]
        counts = Counter(facts.rule for facts, _ in items).most_common()
        lines += [
            (f"{names.rule(rule).zh} × {n}", f"{n} x {names.rule(rule).en}") for rule, n in counts[:KINDS_OF_DIGEST]
        ]
        if rest := sum(n for _, n in counts[KINDS_OF_DIGEST:]):
            lines.append((f"其他 × {rest}", f"{rest} others"))
        return Message(
            clean(f"【{severity[0]}】{where.zh}：{head_zh}", 200),
            clean(f"{severity[1]} {where.en}: {head_en}", 200),
            "\n".join(clean(line[0], 400) for line in lines),
            "\n".join(clean(line[1], 400) for line in lines),
        )

    def proof(self, at_ms: int) -> Message:
        """A test of the path; nobody has to do anything."""
        at = self._at(at_ms)
        return Message(
            "【测试】报警通路验证",
            "[TEST] Proof of the alarm path",
            f"{at} 系统自动测试，无需处理。",
            f"{at}: automatic test, nothing to do.",
        )

    def test(self, at_ms: int) -> Message:
        """A test sent by hand."""
        at = self._at(at_ms)
        return Message(
            "【测试】微站通知", "[TEST] Weizhan notification",
            f"{at} 人工发送的测试消息，无需处理。", f"{at}: test sent by hand, nothing to do.",
        )  # fmt: skip

    def _at(self, at_ms: int) -> str:
        return datetime.fromtimestamp(at_ms / 1000, self._zone).strftime("%m-%d %H:%M:%S")


def clean(text: str, longest: int = LONGEST_NAME) -> str:
    """One line without control or direction characters, so that no name can forge lines or headers."""
    text = _CONTROL.sub(" ", text).strip()
    return text if len(text) <= longest else text[: longest - 1] + "…"
