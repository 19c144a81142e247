"""The figures about alarms, each with the counts it is made of."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.alarms.quality import as_json, report
from gateway.ledger.reader import LedgerReader
from tests.gateway.world import HOUR_MS, World, install

MINUTE_MS = 60_000
DAY_MS = 24 * HOUR_MS


def test_figures_are_those_of_the_ledger_when_a_day_was_busy(tmp_path: Path) -> None:
    """Rate, flood, chatter, standing, never acknowledged, delays, what is held, false share; tests count nowhere."""
    world = World(install(tmp_path))
    begin_ms = world.now_ms
    world.decide("raise", "shuiye/tank-01", rule="low", device="tank-01")  # 1: stands for the whole time
    world.decide("raise", "shuiye/hydrant-01", rule="loose", device="hydrant-01")  # 2: flaps
    for count in range(2, 9):
        world.now_ms += 1000
        world.decide("flap", "shuiye/hydrant-01", rule="loose", device="hydrant-01", count=count)
    world.now_ms = begin_ms + 25 * HOUR_MS
    for number in range(12):  # 3..14: a flood
        world.now_ms += 1000
        world.decide("raise", f"shuiye/panel-01/p{number:03}", rule="fault", device="panel-01", severity="critical")
    world.now_ms += 30_000
    world.ask("alarm.acknowledge", alarm_id=3)
    world.now_ms += 270_000
    world.ask("alarm.acknowledge", alarm_id=4)
    world.ask("alarm.find", alarm_id=3, finding="false")
    world.ask("alarm.find", alarm_id=4, finding="real")
    world.ask("alarm.find", alarm_id=5, finding="false")
    world.ask("alarm.shelve", alarm_id=6, until_ms=world.now_ms + HOUR_MS, reason="x")
    world.ask("drill.open", site="shuiye", scope=["panel-01"], until_ms=world.now_ms + HOUR_MS, reason="x")
    world.now_ms += 1000
    world.decide("raise", "shuiye/panel-01/p016", rule="fire", severity="fire", device="panel-01")
    (tmp_path / "ledger.sqlite").write_bytes(world.connection.serialize())
    with LedgerReader(tmp_path / "ledger.sqlite") as reader:
        found = report(reader, begin_ms, begin_ms + 26 * HOUR_MS, "shuiye")
        other = report(reader, begin_ms, begin_ms + 26 * HOUR_MS, "other")
        with pytest.raises(ValueError, match="want a time after"):
            report(reader, begin_ms, begin_ms)

    assert (found.rate.alarms, found.tests, found.by_severity) == (14, 1, {"warning": 2, "critical": 12})
    assert found.rate.mean == pytest.approx(14 / 156)
    assert (found.rate.most, found.rate.most_ms, found.rate.floods) == (12, begin_ms + 25 * HOUR_MS, 1)
    assert (len(found.rate.slots), sum(found.rate.slots)) == (156, 14)
    assert [(row.rule, row.alarms, row.raises) for row in found.chatter][:2] == [("loose", 1, 8), ("fault", 1, 1)]
    assert [alarm.id for alarm in found.standing_alarms] == [1, 2]
    assert (found.never_acknowledged, found.standing) == (12, 2)
    assert (found.delay.acknowledged, found.delay.p50_s, found.delay.p95_s) == (2, 41.0, 310.0)
    assert (found.fire_delay.acknowledged, found.fire_delay.p50_s) == (0, None)
    assert found.held == {"shelved": 1, "drill": 1}
    assert (found.findings, found.false_share) == ({"none": 11, "false": 2, "real": 1}, pytest.approx(2 / 3))
    assert as_json(found)["rate"]["alarms"] == 14
    assert (other.rate.alarms, other.rate.most_ms, other.false_share) == (0, None, None)
