"""Charts: several points of a device on one time axis, with the thresholds of the time and what happened."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.requests import Request

from contract.units import unit_of
from gateway.web import charts
from gateway.web.access import Refused
from gateway.web.api import PROBLEMS, YEARS_MS
from gateway.web.api_models import Answer
from gateway.web.chart_lines import Step, happened, threshold_lines, versions_of_others
from gateway.web.context import Web, web_of
from gateway.web.inventory import Device
from gateway.web.records.former import find_point
from gateway.web.texts import Texts, msgid

router = APIRouter()
MOST_POINTS = 8
"""Points of one chart; more lines than that nobody tells apart."""


class SeriesAnswer(Answer):
    """A point: `buckets` for numbers, `segments` for truths and states."""

    point: str = Field(examples=["shuiye/hydrant-01/pressure_kpa"])
    title: str = Field(examples=["Pressure"])
    unit: str = Field(examples=["kPa"])
    is_number: bool
    buckets: list[tuple[int, float, float, float, int] | None] = Field(
        examples=[[[1_764_460_800_000, 150.1, 152.3, 153.0, 12], None]]
    )
    """[start_ms, min, mean, max, count]; null marks a gap."""
    segments: list[tuple[int, int, float | bool | str | None, str]]
    """[start_ms, end_ms, value, quality]; time between two segments is a gap."""
    complete: bool
    """False when the span held more samples than one answer carries."""


class ThresholdAnswer(Answer):
    """The limit of a rule as it was in force at every instant of the span."""

    point: str = Field(examples=["shuiye/hydrant-01/pressure_kpa"])
    rule: str = Field(examples=["hydrant-pressure-low"])
    title: str = Field(examples=["Hydrant pressure low"])
    severity: str = Field(examples=["warning"])
    side: Literal["below", "above"]
    steps: list[tuple[int, float | None]] = Field(examples=[[[1_764_460_800_000, 140.0]]])
    """[from_ms, limit]; null: from then on there was none. Before the first one nothing is known."""
    changes: list[int]
    """When it moved within the span."""


class EventAnswer(Answer):
    """Something that happened."""

    kind: Literal["alarm", "work", "duty", "drill"]
    at_ms: int
    until_ms: int | None
    """null: a moment, or it goes on."""
    title: str = Field(examples=["Hydrant pressure low"])
    severity: str | None
    link: str = Field(examples=["/alarms/7"])


class ChartAnswer(Answer):
    """A chart."""

    from_ms: int
    to_ms: int
    bucket_ms: int
    series: list[SeriesAnswer]
    thresholds: list[ThresholdAnswer]
    events: list[EventAnswer]


@router.get("/api/v1/charts", responses=PROBLEMS)
async def charts_of(
    request: Request,
    point: Annotated[
        list[str], Query(min_length=1, max_length=MOST_POINTS, description="site/device/point; may be given again")
    ],
    from_ms: Annotated[int, Query(ge=0, le=4_102_444_800_000)],
    to_ms: Annotated[int, Query(ge=0, le=4_102_444_800_000)],
    buckets: Annotated[int, Query(ge=10, le=charts.BUCKETS)] = charts.BUCKETS,
) -> ChartAnswer:
    """History of up to eight points of one device, with thresholds of the time and events.

    Of one that was taken out of its site file up to then.
    """
    web, texts = web_of(request), web_of(request).texts(request)
    if not from_ms < to_ms <= from_ms + YEARS_MS:
        raise Refused(422, msgid("The period must be longer than nothing and at most five years."))
    if len({key.rpartition("/")[0] for key in point}) > 1:
        raise Refused(422, msgid("A chart shows points of one device."))
    found = [await find_point(web, key) for key in dict.fromkeys(point)]
    device, _, gone = found[0]
    end_ms = to_ms if gone is None else min(to_ms, gone.removed_ms)
    step_ms = charts.bucket_ms(from_ms, to_ms, buckets)
    kept = await web.read(web.ledger.rule_versions)
    others = versions_of_others(web.inventory, device)
    lines = [
        line if gone is None else line._replace(steps=[*line.steps, Step(end_ms, None)])
        for _, what, _ in found
        for line in threshold_lines(kept, device, what.name, from_ms, end_ms, texts.language, others)
        if what.is_number and from_ms < end_ms
    ]
    series = await asyncio.gather(*(_series(web, texts, of, what, from_ms, to_ms, step_ms) for of, what, _ in found))
    return ChartAnswer.model_validate(
        {
            "from_ms": from_ms,
            "to_ms": to_ms,
            "bucket_ms": step_ms,
            "series": series,
            "thresholds": [{**line._asdict(), "point": f"{device.key}/{line.point}"} for line in lines],
            "events": [each._asdict() for each in await happened(web, texts, device, from_ms, end_ms)],
        }
    )


async def _series(
    web: Web, texts: Texts, device: Device, what: Any, from_ms: int, to_ms: int, step_ms: int
) -> dict[str, Any]:
    unit = unit_of(what.name)
    rows: list[Any] = []
    stretches: list[Any] = []
    complete = True
    if what.is_number:
        rows = await charts.numbers(web.history, device, what.name, from_ms, to_ms, step_ms)
    else:
        stretches, complete = await charts.states(web.history, device, what.name, from_ms, to_ms)
    return {
        "point": f"{device.key}/{what.name}",
        "title": what.title.get(texts.language),
        "unit": unit.symbol if unit and what.is_number else "",
        "is_number": what.is_number,
        "buckets": rows,
        "segments": stretches,
        "complete": complete,
    }
