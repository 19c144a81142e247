"""What is wrong with the patrols of a site file beyond their form."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from contract.patrol import OPEN_CYCLES, WEEKDAYS, Opening

if TYPE_CHECKING:
    from contract.site import Site  # for the name only: a site is checked by this module

WEEK_MIN = 7 * 24 * 60


def patrol_problems(site: Site, at: Callable[..., str]) -> Iterator[str]:
    """Every problem; `at` gives `file:line: key` of a place in the file."""
    devices = {placed.entry.id for placed in site.placed()}
    plans: set[str] = set()
    spots: dict[str, str | None] = {}
    for p, plan in enumerate(site.patrols):
        if plan.id in plans:
            yield f"{at('patrols', p, 'id')}: got {plan.id!r} again, want each plan once."
        plans.add(plan.id)
        if plan.cycle_at(site.place) in OPEN_CYCLES and not site.opening:
            yield (
                f"{at('patrols', p)}: got cycle {plan.cycle_at(site.place)!r} without opening hours. "
                "Add `opening`, or name another cycle."
            )
        passed: set[str] = set()
        for s, stop in enumerate(plan.stops):
            here = at("patrols", p, "stops", s)
            if stop.device is not None and stop.device not in devices:
                yield f"{here}: got device {stop.device!r}, want one of this site. Mend the name."
            if stop.spot in passed:
                yield f"{here}: got {stop.spot!r} again, want each stop once in a route."
            passed.add(stop.spot)
            if spots.setdefault(stop.spot, stop.device) != stop.device:
                yield f"{here}: got {stop.spot!r} for another device, want one place a label. Give it another id."
    kinds = [plan.kind for plan in site.trainings or ()]
    for t, kind in enumerate(kinds):
        if kind in kinds[:t]:
            yield f"{at('trainings', t, 'kind')}: got {kind!r} again, want each kind once."
    yield from _hours(site.opening, at)


def _hours(opening: list[Opening], at: Callable[..., str]) -> Iterator[str]:
    """Hours that run into each other within a week of minutes."""
    taken: list[tuple[int, int]] = []
    for n, hours in enumerate(opening):
        for day in hours.days:
            start = WEEKDAYS.index(day) * 24 * 60 + hours.open.hour * 60 + hours.open.minute
            lasts = (hours.close.hour - hours.open.hour) * 60 + hours.close.minute - hours.open.minute
            if lasts <= 0:
                lasts += 24 * 60
            if any(
                start + shift < until and from_ < start + shift + lasts
                for from_, until in taken
                for shift in (-WEEK_MIN, 0, WEEK_MIN)
            ):
                yield f"{at('opening', n)}: got hours on {day} that run into others, want them apart. Mend them."
            taken.append((start, start + lasts))
