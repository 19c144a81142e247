"""The handover sheet: what stands is on it, what does not stand is not, whatever happened before."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.control.client import ControlError
from tests.gateway.duty.station import HOUR_MS, MINUTE_MS, hand_over, make_station, sign, sign_on
from tests.gateway.world import World

QUIET = "  duty_checks: {per_shift: 0}\n"
STANDS = """
SELECT 'alarm', id FROM alarm WHERE state <> 'normal'
UNION ALL SELECT 'shelf', rule || ' ' || subject FROM shelf
UNION ALL SELECT 'service', subject FROM out_of_service
UNION ALL SELECT 'maintenance', id FROM maintenance WHERE closed_ms IS NULL
UNION ALL SELECT 'drill', id FROM drill WHERE closed_ms IS NULL
UNION ALL SELECT 'unknown_device', device FROM unknown_device
    WHERE NOT EXISTS (SELECT 1 FROM approved_device WHERE device = unknown_device.device)
UNION ALL SELECT 'hazard', id FROM entry WHERE kind = 'hazard' AND state IN ('reported', 'found', 'assigned', 'fixed')
UNION ALL SELECT 'incident', id FROM entry WHERE kind = 'incident' AND open
UNION ALL SELECT 'duty_check', id FROM entry WHERE kind = 'duty_check' AND state IN ('open', 'unanswered')
UNION ALL SELECT 'notice', id FROM notice WHERE state IN ('planned', 'sending') AND alarms <> '[]'
"""
"""What stands, as the ledger has it; the sheet is made from memory."""
POINTS = ("panel-01/p001", "panel-01/p002", "tank-01/level_m", "hydrant-01/pressure_kpa")

Act = Callable[[World, int], Any]


def _hold(world: World, which: int, op: str, **more: Any) -> None:
    window: dict[str, Any] = {"site": "shuiye", "scope": [POINTS[which].split("/")[0]], "reason": "work"}
    world.ask(op, **window, **more)


ACTS: dict[str, Act] = {
    "fault": lambda w, n: w.see(POINTS[n % 2], "fault"),
    "fire": lambda w, n: w.see(POINTS[n % 2], "fire"),
    "normal": lambda w, n: w.see(POINTS[n % 2], "normal"),
    "low": lambda w, _: w.see(POINTS[2], 0.1, agent="edge2"),
    "full": lambda w, _: w.see(POINTS[2], 3.0, agent="edge2"),
    "stranger": lambda w, n: w.see(f"pump-{n}/pressure_kpa", 1.0),
    "acknowledge": lambda w, n: w.ask("alarm.acknowledge", alarm_id=n + 1, note=""),
    "shelve": lambda w, n: w.ask("alarm.shelve", alarm_id=n + 1, until_ms=w.now_ms + (n + 1) * HOUR_MS, reason="known"),
    "take_out": lambda w, n: w.ask("service.take_out", subject=f"shuiye/{POINTS[n]}", reason="broken"),
    "give_back": lambda w, n: w.ask("service.return", subject=f"shuiye/{POINTS[n]}"),
    "maintain": lambda w, n: _hold(
        w, n, "maintenance.open", from_ms=w.now_ms + n * HOUR_MS, until_ms=w.now_ms + (n + 1) * HOUR_MS
    ),
    "drill": lambda w, n: _hold(w, n, "drill.open", until_ms=w.now_ms + (n + 1) * HOUR_MS),
    "close_drill": lambda w, n: w.ask("drill.close", id=n + 1),
    "asked": lambda w, n: w.ask("duty.ask", site="shuiye", origin=f"centre/c{n}", minutes=5),
    "answered": lambda w, n: w.ask("duty.answer", id=n + 1),
    "report": lambda w, n: w.ask("hazard.report", site="shuiye", text=f"exit {n} is blocked"),
    "minutes": lambda w, n: w.wait((n + 1) * 7 * MINUTE_MS),
    "hours": lambda w, n: w.wait((n + 1) * 2 * HOUR_MS),
    "killed": lambda w, _: w.restart(),
    "hand_over": lambda w, _: None,
}


def stands(world: World) -> set[tuple[str, str]]:
    """(kind, key) of everything that stands now."""
    return {(kind, str(key)) for kind, key in world.connection.execute(STANDS)}


@given(st.lists(st.tuples(st.sampled_from(sorted(ACTS)), st.integers(min_value=0, max_value=3)), max_size=30))
@settings(max_examples=12, deadline=None)
def test_a_thing_is_on_every_sheet_while_it_stands_and_on_no_other(acts: list[tuple[str, int]]) -> None:
    """Alarms, shelves, holds, drills, strangers, incidents, checks: each sheet is the ledger at that moment."""
    with TemporaryDirectory() as folder:
        world = make_station(Path(folder), more=QUIET)
        hand_over(world, 3, 1, 2)
        crews = [(1, 2), (3, 4)]
        for name, which in [*acts, ("hand_over", 0)]:
            with contextlib.suppress(ControlError):  # nothing to acknowledge, to close ...: nothing has changed then
                ACTS[name](world, which)
            if name == "hand_over":
                crews.reverse()
                sign_on(world, *crews[0], takes_over=True)
                sign(world, "old", crews[1][0])
                world.turn()
                wanted = stands(world)
                sheet = sign(world, "new", crews[0][0])["items"]
                assert {(item["kind"], item["key"]) for item in sheet} == wanted
                assert len(sheet) == len(wanted)


def test_messages_that_did_not_go_are_on_the_sheet_until_they_have_gone(tmp_path: Path) -> None:
    """Waiting ones each time; one that was given up on the next sheet and on no later one."""
    world = make_station(tmp_path, more=QUIET)
    hand_over(world, 3, 1, 2)
    world.see(POINTS[0], "fault")
    alarm = world.open[-1].id
    world.wait(MINUTE_MS)
    for number, state in enumerate(("planned", "sending", "failed", "expired", "sent", "stopped"), 1):
        world.connection.execute(
            "INSERT INTO notice (id, person, channel, lane, kind, severity, alarms, title_zh, title_en, text_zh, "
            "text_en, due_ms, state) VALUES (?, 'li', 'sms', 'fault', 'alarm', 'warning', ?, '', '', '', '', ?, ?)",
            (number, f"[{alarm}]", world.now_ms, state),
        )

    def on(sheet: dict[str, Any]) -> list[str]:
        return [item["more"] for item in sheet["items"] if item["kind"] == "notice"]

    world.wait(HOUR_MS)
    assert on(hand_over(world, 1, 3, 4)) == ["planned", "sending", "failed", "expired"]
    world.connection.execute("UPDATE notice SET state = 'sent' WHERE state = 'sending'")
    world.wait(HOUR_MS)
    assert on(hand_over(world, 3, 1, 2)) == ["planned"]


def test_what_stands_at_a_covered_site_is_handed_over_too_and_what_stands_elsewhere_is_not(tmp_path: Path) -> None:
    """A station answers for the sites it covers."""
    world = make_station(tmp_path, more=QUIET)
    world.ask("duty.ask", site="shuiye", origin="centre/city", minutes=200)
    (item,) = [i for i in world.ask("handover.look", site="shuiye")["items"] if i["kind"] == "duty_check"]
    assert (item["key"], item["what"], item["more"]) == ("1", "centre/city", "open")
    station = world.installation.sites["shuiye"].station
    assert station is not None
    moved = world.installation.sites["shuiye"].model_copy(update={"site": "anyang", "station": station})
    world.installation.sites["anyang"] = moved  # type: ignore[index] # a dict, as the test made it
    world.restart()
    assert [i for i in world.ask("handover.look", site="anyang")["items"] if i["kind"] == "duty_check"] == []
    covering = station.model_copy(update={"covers": ["shuiye"]})
    world.installation.sites["anyang"] = moved.model_copy(update={"station": covering})  # type: ignore[index] # as above
    world.restart()
    assert len([i for i in world.ask("handover.look", site="anyang")["items"] if i["kind"] == "duty_check"]) == 1
