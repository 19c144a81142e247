"""The score for people: a table on the screen, and docs/detection.md."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from cli.sim_score import Line, Score

_KINDS = {
    "contact": "fire, panel and other contacts",
    "water": "hydraulic faults",
    "other": "what needs time, people or the system itself",
}


def print_score(score: Score) -> None:
    """A table."""
    console = Console(highlight=False)
    table = Table("rule", "expected", "raised", "recall", "false", "p50 s", "p95 s")
    for line in [*score.rules, *score.kinds]:
        table.add_row(line.name, *_cells(line))
    console.print(table)
    console.print(_sentence(score))
    for verdict in score.missed:
        console.print(f"missed  {verdict.story} {verdict.network} seed {verdict.seed}: {verdict.event}: {verdict.rule}")
    for verdict in score.late:
        console.print(f"late    {verdict.story} {verdict.network} seed {verdict.seed}: {verdict.event}: {verdict.rule} "
                      f"{verdict.delay_s:.2f} s, limit {verdict.limit_s:.2f} s")  # fmt: skip
    for false in score.false:
        console.print(f"false   {false.story} {false.network} seed {false.seed}: {false.rule} {false.subject} "
                      f"at {false.at_s:.0f} s: {false.why}")  # fmt: skip


def write_report(path: Path, score: Score, seeds: list[int]) -> None:
    """Put the figures between the marks of a page; the words around them stay."""
    begin, end = "<!-- figures: begin -->", "<!-- figures: end -->"
    text = path.read_text("utf-8") if path.exists() else f"# Detection\n\n{begin}\n{end}\n"
    head, _, rest = text.partition(begin)
    path.write_text(f"{head}{begin}\n{_figures(score, seeds)}\n{end}{rest.partition(end)[2]}", "utf-8")


def _figures(score: Score, seeds: list[int]) -> str:
    lines = [f"{score.runs} runs, seeds {', '.join(map(str, seeds))}.", "", _sentence(score), "",
             "| kind | expected | raised | recall | p50 s | p95 s |", "|---|---|---|---|---|---|"]  # fmt: skip
    for line in score.kinds:
        expected, raised, recall, _, p50, p95 = _cells(line)
        lines.append(f"| {_KINDS[line.name]} | {expected} | {raised} | {recall} | {p50} | {p95} |")
    lines += ["", "| rule | expected | raised | recall | false | p50 s | p95 s |", "|---|---|---|---|---|---|---|"]
    lines += [f"| `{line.name}` | {' | '.join(_cells(line))} |" for line in score.rules]
    lines += ["", "What was missed:", ""]
    missed: dict[str, int] = {}
    for verdict in score.missed:
        key = f"`{verdict.rule}` in `{verdict.story}` ({verdict.event}), network {verdict.network}"
        missed[key] = missed.get(key, 0) + 1
    lines += [f"- {key}: {count} of {len(seeds)} seeds" for key, count in missed.items()] or ["- nothing"]
    lines += ["", "What was said and ought not to have been:", ""]
    false: dict[str, int] = {}
    for each in score.false:
        key = f"`{each.rule}` in `{each.story}`, network {each.network}: {each.why}"
        false[key] = false.get(key, 0) + 1
    lines += [f"- {key}: {count} times" for key, count in false.items()] or ["- nothing"]
    return "\n".join(lines)


def _sentence(score: Score) -> str:
    return (
        f"Quiet weeks: {score.quiet_false} false alarms in {score.quiet_device_months:.1f} device-months "
        f"({score.false_a_month:.3f} a device and month). Contacts later than their poll period and 1 s: "
        f"{len(score.late)}. False alarms in stories with events: {len(score.false) - score.quiet_false}."
    )


def _cells(line: Line) -> tuple[str, ...]:
    recall = "" if line.recall is None else f"{100 * line.recall:.1f} %"
    p50, p95 = ("" if value is None else f"{value:g}" for value in (line.p50_s, line.p95_s))
    return str(line.expected), str(line.raised), recall, str(line.false), p50, p95
