"""A comparison on history as one HTML file that stands alone: no script, nothing fetched."""

from __future__ import annotations

from datetime import datetime
from html import escape
from pathlib import Path
from zoneinfo import ZoneInfo

from cli.rules_lab import Comparison
from rules.lab import Change, Shifts
from rules.replay import PastAlarm

WIDTH, ROW = 900, 22
LABEL = 90
_COLOURS = {"gained": "#b3261e", "lost": "#1b6e3c", "changed": "#8a6100"}
_WORDS = {"gained": "新增 gained", "lost": "消失 lost", "changed": "改变 changed"}
_STYLE = """
body { font: 15px/1.5 system-ui, "Noto Sans CJK SC", sans-serif; margin: 2rem auto; max-width: 68rem; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; } td, th { padding: .2rem .7rem; border-bottom: 1px solid #ccc;
text-align: left; } td.n, th.n { text-align: right; } svg { display: block; max-width: 100%; } code { font-size: 13px; }
h3 { margin: 1.2rem 0 .2rem; } .note { color: #555; }
@media (prefers-color-scheme: dark) { body { background: #14171a; color: #e6e6e6; } .note { color: #aaa; } }
"""


def write_report(path: Path, found: Comparison) -> None:
    """Write the report."""
    path.write_text(render_report(found), "utf-8")


def render_report(found: Comparison) -> str:
    """The report's HTML."""
    diff = found.diff
    zone = next(iter(found.plant.zones.values()), ZoneInfo("UTC"))
    title = f"规则对比 Rules compared: {escape(found.names[0])} → {escape(found.names[1])}"
    parts = [
        f"<!doctype html><html lang=zh><meta charset=utf-8><title>{title}</title><style>{_STYLE}</style>",
        f"<h1>{title}</h1><p>{_when(diff.from_ms, zone)} – {_when(diff.until_ms, zone)}, "
        f"{found.readings:,} 条读数 readings, {', '.join(map(escape, found.plant.sites))}</p>",
        _pages(diff.pages, zone),
        _rules(found),
        *_bars(found, zone),
        _changes(diff.changes, zone),
        _notes(found),
    ]
    return "\n".join(parts) + "\n"


def _pages(pages: tuple[Shifts, Shifts], zone: ZoneInfo) -> str:
    rows = "".join(
        f"<tr><th>{name}<td class=n>{each.total}<td class=n>{each.mean:g}<td class=n>{each.most}"
        f"<td>{_when(each.worst_ms, zone) if each.worst_ms is not None else '–'}"
        for name, each in zip(("之前 before", "之后 after"), pages, strict=True)
    )
    return (
        "<h2>每班呼叫 Pages a shift of 8 hours</h2><table><tr><th><th class=n>总数 in all<th class=n>平均 mean"
        f"<th class=n>最多 most<th>最多的班 worst shift</tr>{rows}</table>"
    )


def _rules(found: Comparison) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(each.rule)}</code><td>{escape(_title(found, each.rule))}<td>{each.state}"
        + "".join(f"<td class=n>{number}" for number in each[2:])
        for each in found.diff.rules
    )
    head = "".join(
        f"<th class=n>{word}" for word in ("之前 before", "之后 after", "新增 gained", "消失 lost", "改变 changed")
    )
    return f"<h2>规则 Rules</h2><table><tr><th><th><th>记录 record{head}</tr>{rows}</table>"


def _bars(found: Comparison, zone: ZoneInfo) -> list[str]:
    touched = [each.rule for each in found.diff.rules if each.gained or each.lost or each.changed]
    parts = ["<h2>时间线 Time lines</h2>"] if touched else []
    for rule in touched:
        rows = [
            _row(n, name, [alarm for alarm in run if alarm.rule == rule], found, zone)
            for n, (name, run) in enumerate(zip(("之前", "之后"), found.runs, strict=True))
        ]
        height = 2 * ROW + 4
        parts.append(
            f"<h3><code>{escape(rule)}</code> {escape(_title(found, rule))}</h3>"
            f'<svg viewBox="0 0 {LABEL + WIDTH} {height}" role="img" aria-label="{escape(rule)}">{"".join(rows)}</svg>'
        )
    return parts


def _row(number: int, name: str, alarms: list[PastAlarm], found: Comparison, zone: ZoneInfo) -> str:
    from_ms, until_ms = found.diff.from_ms, found.diff.until_ms
    y, scale = number * ROW + 2, WIDTH / (until_ms - from_ms)
    parts = [
        f'<text x="0" y="{y + 15}" font-size="13" fill="currentColor">{name}</text>',
        f'<rect x="{LABEL}" y="{y}" width="{WIDTH}" height="{ROW - 4}" fill="#8884"/>',
    ]
    for alarm in alarms:
        end_ms = until_ms if alarm.cleared_ms is None else min(alarm.cleared_ms, until_ms)
        x, width = LABEL + (alarm.raised_ms - from_ms) * scale, max(1.5, (end_ms - alarm.raised_ms) * scale)
        told = f"{alarm.subject} {_when(alarm.raised_ms, zone)} – {_when(end_ms, zone)}"
        parts.append(
            f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{ROW - 4}" fill="{("#b3261e", "#1b4f9c")[number]}">'
            f"<title>{escape(told)}</title></rect>"
        )
    return "".join(parts)


def _changes(changes: list[Change], zone: ZoneInfo) -> str:
    if not changes:
        return "<p>两套规则的结论完全相同。 Both decide the same.</p>"
    rows = "".join(
        f'<tr><td style="color:{_COLOURS[each.kind]}">{_WORDS[each.kind]}<td><code>{escape(each.rule)}</code>'
        f"<td><code>{escape(each.subject)}</code><td>{_span(each.before, zone)}<td>{_span(each.after, zone)}"
        for each in changes
    )
    return f"<h2>报警 Alarms</h2><table><tr><th><th><th><th>之前 before<th>之后 after</tr>{rows}</table>"


def _notes(found: Comparison) -> str:
    about = found.about()
    parts = [
        f"<li>{escape(gap['site'])}/{escape(gap['agent'])}: {gap['readings']} 条读数丢失 readings lost "
        f"({escape(gap['reason'])})"
        for gap in about["gaps"]
    ]
    if about["not_replayed"]:
        names = ", ".join(map(escape, about["not_replayed"]))
        parts.append(f"<li>未回放（历史不保存心跳） not replayed, no history keeps heartbeats: {names}")
    return f"<ul class=note>{''.join(parts)}</ul>" if parts else ""


def _title(found: Comparison, rule_id: str) -> str:
    rule = found.rules[1].get(rule_id) or found.rules[0][rule_id]
    return f"{rule.title.zh} {rule.title.en}"


def _span(alarm: PastAlarm | None, zone: ZoneInfo) -> str:
    if alarm is None:
        return "–"
    end = "持续 still up" if alarm.cleared_ms is None else _when(alarm.cleared_ms, zone)
    return f"{_when(alarm.raised_ms, zone)} – {end}" + (f" ×{alarm.count}" if alarm.count > 1 else "")


def _when(at_ms: int, zone: ZoneInfo) -> str:
    return datetime.fromtimestamp(at_ms / 1000, zone).strftime("%Y-%m-%d %H:%M:%S")
