"""What the commands of `weizhan line` print, for people and as JSON."""

from __future__ import annotations

import dataclasses
import statistics
from typing import Any

from rich.console import Console
from rich.table import Table

from cli.line_learn import Learned
from cli.line_tools import ScanResult, Target
from contract.profile import Profile
from edge_agents.field.doctor import Diagnosis, UnitSeen
from edge_agents.field.learn import Candidate, number_at

_BAR = 40
_SHOWN = 5
"""Candidates and suggestions shown."""


def print_diagnosis(target: Target, found: Diagnosis) -> None:
    """Figures, histogram, table of units, advice, findings."""
    out, counts = Console(highlight=False, soft_wrap=True), found.counts
    out.print(f"[bold]{target.name}[/]  {target.port}  {target.speed}  timeout {found.timeout_s:g} s")
    out.print(
        f"asked {counts.asked}: answered {counts.answered}, timeouts {counts.timeouts} (of them late "
        f"{counts.late_answers}), CRC errors {counts.crc_errors}\n"
        f"also heard: echoes {counts.echoes}, frames of others {counts.foreign_frames}, "
        f"stray bytes {counts.noise_bytes}"
    )
    if found.turnaround is not None:
        t = found.turnaround
        out.print(
            f"\nTurnaround of the units, ms: least {t.least:g}, median {t.median:g}, mean {t.mean:g}, p99 {t.p99:g}, "
            f"worst {t.worst:g}"
        )
        most = max(row.count for row in found.histogram)
        for row in found.histogram:
            bar = "█" * round(_BAR * row.count / most) or ("▏" if row.count else "")
            out.print(f"{row.from_ms:>8g} - {row.to_ms:<8g} [cyan]{bar}[/] {row.count or ''}")
        out.print(_units(found.units))
        _print_advice(out, target, found)
    if found.is_healthy:
        out.print("\n[green]Nothing wrong was found.[/]")
    for text in found.findings:
        out.print(f"[yellow]![/] {text}")


def _print_advice(out: Console, target: Target, found: Diagnosis) -> None:
    parts = " + ".join(f"{ms:.1f} {name}" for name, ms in found.unit_ms.items() if ms)
    total = sum(found.unit_ms.values())
    out.print(
        f"Advice: timeout_s {found.advised_timeout_s:g} (now {found.timeout_s:g}), silence between frames "
        f"{found.advised_gap_ms:g} ms.\n"
        f"[bold]This line carries {found.units_carried} units at {found.period_s:g} s[/]: "
        f"{found.period_s * 1000:g} ms / ({parts} = {total:.1f} ms a unit)."
    )
    assert found.turnaround is not None
    share = target.share(found.turnaround.mean / 1000)
    if share is not None:
        out.print(f"As configured its polls take {share:.0%} of the line's time with these answer times.")


def _units(units: list[UnitSeen]) -> Table:
    table = Table(box=None, pad_edge=False)
    for head in ("unit", "asked", "answered", "timeouts", "late", "CRC", "median ms", "worst ms"):
        table.add_column(head, justify="right")
    for unit in units:
        times = unit.turnaround_ms
        median, worst = (f"{statistics.median(times):.1f}", f"{max(times):.1f}") if times else ("-", "-")
        figures = (unit.unit_id, unit.asked, unit.answered, unit.timeouts, unit.late, unit.crc_errors)
        table.add_row(*map(str, figures), median, worst)
    return table


def diagnosis_json(target: Target, found: Diagnosis) -> dict[str, Any]:
    """The diagnosis as plain data; each unit's turnaround as median and worst."""
    data = dataclasses.asdict(found)
    for unit in data["units"]:
        times = unit.pop("turnaround_ms")
        unit["median_ms"] = round(statistics.median(times), 2) if times else None
        unit["worst_ms"] = round(max(times), 2) if times else None
    share = target.share(found.turnaround.mean / 1000) if found.turnaround is not None else None
    head = {"line": target.name, "port": target.port, **target.speed._asdict()}
    return {**head, **data, "configured_share": None if share is None else round(share, 4)}


def print_scan(port: str, results: list[ScanResult]) -> None:
    """A table of units with their likeliest profiles."""
    out = Console(highlight=False, soft_wrap=True)
    for result in results:
        speed = result.found.speed
        if result.units:
            out.print(f"[bold]{port} at {speed}: {len(result.units)} unit{'s' * (len(result.units) != 1)}[/]")
        for unit_id in result.units:
            suggestions = result.suggestions[unit_id]
            out.print(f"\nunit [bold]{unit_id}[/]" + ("" if suggestions else "  answers, but no profile fits"))
            for one in suggestions[:_SHOWN]:
                if one.bits > 0 or one is suggestions[0]:
                    out.print(f"  {one.profile_id:<26} {one.bits:>6.1f}  {'; '.join(one.why)}")
        if result.found.garbled:
            places = ", ".join(map(str, result.found.garbled))
            out.print(
                f"[yellow]![/] at {speed} something unreadable answered at {places}: another speed or parity, noise, "
                "or two units with one address."
            )
    if not any(result.units for result in results):
        tried = ", ".join(str(result.found.speed) for result in results)
        out.print(
            f"{port}: got no answer at {tried}, want one. Check in this order: power of the units, A and B not "
            "swapped, adapter in RS-485 mode, a longer --timeout, further speeds (--baud-list)."
        )


def scan_json(results: list[ScanResult]) -> list[dict[str, Any]]:
    """One entry a unit, and what was unreadable at each speed."""
    return [
        {
            **result.found.speed._asdict(),
            "garbled": list(result.found.garbled),
            "units": [
                {"unit_id": unit_id, "profiles": [dataclasses.asdict(one) for one in result.suggestions[unit_id]]}
                for unit_id in result.units
            ],
        }
        for result in results
    ]


def print_learned(learned: Learned, written: Profile | None) -> None:
    """The candidates, and what to do next."""
    out = Console(highlight=False, soft_wrap=True)
    unit = learned.sightings[0].shown.unit
    shown = ", ".join(f"{one.shown.value:.{one.shown.decimals}f} {unit}" for one in learned.sightings)
    out.print(f"{len(learned.sightings[0].registers)} registers read, gauge at {shown}. Best first:\n")
    table = Table(box=None, pad_edge=False)
    for head in ("", "register", "type", "order", f"value in {unit}", "gives", "cost"):
        table.add_column(head, justify="right" if head in ("", "register", "cost") else "left")
    for n, candidate in enumerate(learned.candidates[: 2 * _SHOWN], 1):
        place = candidate.place
        kind = f"{place.type} or signed" if candidate.sign_open else place.type
        order = place.word_order if place.words > 1 else ""
        name = f"{place.register} (FC {place.function})"
        table.add_row(str(n), name, kind, order, candidate.formula, _gives(learned, candidate), f"{candidate.cost:g}")
    out.print(table)
    if written is not None:
        out.print(f"\nWritten: profile [bold]{written.id}[/], point {written.points[0].name}.")
    elif learned.is_ambiguous:
        out.print(
            "\n[yellow]![/] Several fit as well. Take a second reading at another value: add --second-value with what "
            "the gauge will show then."
        )
    else:
        out.print("\nThe first is clear. Add --write NAME.yaml to make a profile of it.")


def _gives(learned: Learned, candidate: Candidate) -> str:
    digits = max(sighting.shown.decimals for sighting in learned.sightings) + 1
    values = [
        number_at(candidate.place, sighting.registers) * candidate.scale + candidate.offset
        for sighting in learned.sightings
    ]
    return ", ".join(f"{value:.{digits}f}" for value in values)


def learned_json(learned: Learned, written: Profile | None) -> dict[str, Any]:
    """Candidates as plain data."""
    candidates = [
        {
            **candidate.place._asdict(),
            "scale": candidate.scale,
            "offset": candidate.offset,
            "device_unit": candidate.device_unit,
            "sign_open": candidate.sign_open,
            "error_digits": candidate.error,
            "cost_bits": candidate.cost,
        }
        for candidate in learned.candidates
    ]
    return {
        "quantity": learned.quantity,
        "shown": [sighting.shown._asdict() for sighting in learned.sightings],
        "ambiguous": learned.is_ambiguous,
        "candidates": candidates,
        "profile": None if written is None else written.id,
    }
