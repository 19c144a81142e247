"""Charts: several points on one axis, thresholds as they were in force, what happened, gaps as gaps."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.history.base import Row
from gateway.ledger.records import RuleVersion
from gateway.web.app import load_inventory
from gateway.web.chart_lines import Step, threshold_lines, versions_of_others
from rules.model import Limits, with_limits
from tests.web.station import HOUR_MS, Browser, Station, now_ms, serving

RULE = "hydrant-pressure-low"
POINT = "pressure_kpa"


def _kept(rule: Any, first_ms: int) -> RuleVersion:
    return RuleVersion(rule.id, rule.version, first_ms, rule.model_dump_json(by_alias=True))


def test_a_threshold_is_drawn_in_steps_when_its_rule_was_changed(station: Station) -> None:
    """What held at each instant of the span, and when it changed; nothing before the first version is known of."""
    inventory = load_inventory(station.settings())
    device, rule = inventory.devices["shuiye/hydrant-01"], inventory.rules[RULE]
    level = rule.when.below
    kept = [
        _kept(with_limits(rule, Limits(below=level - 30), "old"), 1_000),
        _kept(with_limits(rule, Limits(below=level - 20), "older"), 2_000),
        _kept(rule, 5_000),
    ]
    (line,) = [each for each in threshold_lines(kept, device, POINT, 3_000, 9_000, "en") if each.rule == RULE]
    assert line.steps == [Step(3_000, level - 20), Step(5_000, level)]
    assert (line.changes, line.side, line.severity) == ([5_000], "below", rule.severity)
    (line,) = [each for each in threshold_lines(kept, device, POINT, 0, 1_500, "en") if each.rule == RULE]
    assert (line.steps, line.changes) == ([Step(1_000, level - 30)], [])


def test_a_limit_of_another_device_is_not_drawn_when_a_site_entry_has_its_own(station: Station) -> None:
    """Each device has the limits that decide for it."""
    text = station.site_file.read_text("utf-8")
    own = "    - id: hydrant-01\n      limits: {hydrant-pressure-low: {below: 99.0}}\n"
    station.site_file.write_text(text.replace("    - id: hydrant-01\n", own), "utf-8")
    inventory = load_inventory(station.settings())
    rule = inventory.rules[RULE]
    kept = [_kept(rule, 1_000), _kept(with_limits(rule, Limits(below=99.0), "own"), 1_000)]
    for name, level in (("hydrant-01", 99.0), ("hydrant-02", rule.when.below)):
        device = inventory.devices[f"shuiye/{name}"]
        others = versions_of_others(inventory, device)
        found = threshold_lines(kept, device, POINT, 2_000, 3_000, "en", others)
        assert [line.steps for line in found if line.rule == RULE] == [[Step(2_000, level)]]


async def test_points_of_a_device_come_on_one_axis_when_asked_together(station: Station) -> None:
    """With gaps where nothing was measured, thresholds and alarms; points of two devices are refused."""
    station.all_good()
    station.user("maintainer")
    at = now_ms() // 60_000 * 60_000
    rows = [
        Row("shuiye", "hydrant-01", name, at - minutes * 60_000, 200.0 + minutes, "good")
        for name in (POINT, "battery_pct")
        for minutes in (*range(10, 20), *range(200, 210))
    ]
    await station.remember(rows)
    inventory = load_inventory(station.settings())
    kept = _kept(inventory.rules[RULE], at - 90 * 60_000)
    station.db.execute(
        "INSERT INTO rule_version VALUES (?, ?, ?, ?)", (kept.id, kept.version, kept.first_ms, kept.json)
    )
    alarm = station.alarm(RULE, f"shuiye/hydrant-01/{POINT}", "warning", ago_s=900, cleared=True)
    points = [f"shuiye/hydrant-01/{name}" for name in (POINT, "battery_pct", "online")]
    query: dict[str, Any] = {"from_ms": at - 6 * HOUR_MS, "to_ms": at + HOUR_MS}
    async with station.gateway(), serving(station) as address, Browser(address) as browser:
        await browser.sign_in("maintainer")
        answer = await browser.get("/api/v1/charts", params={"point": points, **query})
        assert answer.status_code == 200, answer.text
        chart = answer.json()
        wrong = {"point": [points[0], "shuiye/hydrant-02/pressure_kpa"], **query}
        assert (await browser.get("/api/v1/charts", params=wrong)).status_code == 422
        away = await browser.get("/api/v1/charts", params={"point": "shuiye/hydrant-01/nothing", **query})
        assert away.status_code == 404
    assert [(s["point"], s["is_number"]) for s in chart["series"]] == list(
        zip(points, (True, True, False), strict=True)
    )
    for series in chart["series"][:2]:
        counts = [bucket and bucket[4] for bucket in series["buckets"]]
        assert sum(count for count in counts if count) == 20
        assert counts.count(None) == 1
    steps = {line["rule"]: line["steps"] for line in chart["thresholds"]}
    assert steps[RULE] == [[kept.first_ms, pytest.approx(inventory.rules[RULE].when.below)]]
    assert [(e["kind"], e["link"]) for e in chart["events"]] == [("alarm", f"/alarms/{alarm}")]
