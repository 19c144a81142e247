"""Hazards on a gateway's core: what makes one, what it goes through, and that nothing closes without confirmation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.control.client import ControlError
from gateway.installation import Installation
from gateway.ledger.entries import find_entry
from gateway.work.public import find_report, receipt_hash
from gateway.work.rectification import HAZARD, Hazard
from rules.model import Absence, load_packs
from tests.gateway.world import HOUR_MS, World, install

DAY_MS = 24 * HOUR_MS
SUBJECT = "shuiye/hydrant-01/pressure_kpa"


@pytest.fixture
def world(tmp_path: Path) -> World:
    """The small site."""
    return World(install(tmp_path))


def with_silence(folder: Path) -> Installation:
    """The small site, and the rule of silent devices, which never speaks by itself here."""
    found = install(folder)
    rule = load_packs()["device-silent"]
    never = rule.model_copy(update={"when": Absence(kind="absence", after_s=1e9)})
    return Installation(found.sites, {**found.rules, rule.id: never}, found.library)


def hazard(world: World, number: int = 1) -> Hazard:
    """A hazard as the ledger has it."""
    found = find_entry(world.connection, HAZARD, number)
    assert found is not None
    return found


def said(world: World, point: str) -> Any:
    """What the site's register says now."""
    for name, slot in world.state.engine.values():
        if name == f"shuiye/register/{point}" and slot.received_ms:
            return slot.value
    return None


def report(world: World, **more: Any) -> int:
    """A person reports one; gives its number."""
    given: dict[str, Any] = {"site": "shuiye", "text": "blocked exit", "place": "stair 2", **more}
    found = world.ask("hazard.report", **given)
    return int(found["id"])


def assign(world: World, number: int = 1, **more: Any) -> Any:
    """It is to be fixed within three days."""
    given: dict[str, Any] = {"id": number, "owner": "li", "measure": "clear it", "days": 3, **more}
    return world.ask("hazard.assign", **given)


def low(world: World) -> None:
    """The pressure of a hydrant is too low for fire fighting."""
    world.decide("raise", SUBJECT, device="hydrant-01", severity="critical", rule="low")


def good(world: World) -> None:
    """It is good again."""
    world.decide("clear", SUBJECT, device="hydrant-01", severity="critical", rule="low")


def test_a_hazard_runs_from_found_to_closed_when_a_second_person_verifies(world: World) -> None:
    """Each step has its person and time, and the audit trail holds every one of them."""
    number = report(world)
    assign(world, interim="a guard", money_fen=120_050, department="security")
    world.wait(DAY_MS)
    world.ask("hazard.fix", "li", id=number, note="cleared", photo="a" * 64)
    world.ask("hazard.verify", "wang", id=number)
    row = hazard(world)
    assert (row.state, row.confirmed_by, row.closed_by) == ("closed", "wang", "wang")
    assert row.order is not None
    assert (row.order.money_fen, row.order.interim) == (120_050, "a guard")
    assert row.fix is not None
    assert row.fix.photo == "a" * 64
    trail = world.connection.execute("SELECT actor, action FROM audit WHERE subject = 'hazard/1' ORDER BY id")
    assert trail.fetchall() == [
        ("wang", "hazard.find"), ("wang", "hazard.assign"), ("li", "hazard.fix"), ("wang", "hazard.verify"),
    ]  # fmt: skip


def test_the_fixer_does_not_verify_the_own_work(world: World) -> None:
    """A second person must."""
    number = report(world)
    world.ask("hazard.fix", "li", id=number, note="moved the boxes")
    with pytest.raises(ControlError, match="second person"):
        world.ask("hazard.verify", "li", id=number)
    assert hazard(world).state == "spot_fixed"


def test_a_major_hazard_is_assigned_and_signed_off(world: World) -> None:
    """Never corrected on the spot, never closed by confirmation alone."""
    number = report(world, level="major")
    with pytest.raises(ControlError, match="major"):
        world.ask("hazard.fix", "li", id=number, note="done")
    assign(world)
    world.ask("hazard.fix", "li", id=number, note="done")
    world.ask("hazard.verify", "wang", id=number)
    assert hazard(world).state == "verified"
    with pytest.raises(ControlError, match="second person"):
        world.ask("hazard.close", "li", id=number)
    world.ask("hazard.close", "wang", id=number)
    assert hazard(world).state == "closed"


def test_listed_supervision_keeps_a_hazard_open_until_it_is_delisted(world: World) -> None:
    """The authority's word, only after the confirmation; its date is the hazard's date."""
    number = report(world)
    listed_ms = world.now_ms + 2 * DAY_MS
    world.ask("hazard.list", id=number, number="挂 2026-7", authority="county brigade", deadline_ms=listed_ms)
    assign(world, days=30)
    assert (hazard(world).level, hazard(world).due_ms) == ("major", listed_ms)
    assert said(world, "hazards_listed_count") == 1
    assert isinstance(said(world, "hazards_listed_count"), float)  # rules judge no other number
    with pytest.raises(ControlError, match="want verified"):
        world.ask("hazard.delist", id=number, note="done")
    world.ask("hazard.fix", "li", id=number, note="done")
    world.ask("hazard.verify", id=number)
    with pytest.raises(ControlError, match="listed supervision"):
        world.ask("hazard.close", id=number)
    world.ask("hazard.delist", id=number, note="letter of the brigade")
    world.ask("hazard.close", id=number)
    assert (hazard(world).state, said(world, "hazards_listed_count")) == ("closed", 0)


def test_an_alarm_that_stands_for_a_day_becomes_a_hazard_once(world: World) -> None:
    """At that moment, not before; restarts neither lose nor repeat it."""
    low(world)
    world.wait(DAY_MS - 1)
    assert world.state.registers.hazards.open() == []
    world.restart()
    world.wait(1)
    world.restart()
    world.wait(10 * DAY_MS)
    assert [(h.source, h.subject, h.alarm_id) for h in world.state.registers.hazards.open()] == [("rule", SUBJECT, 1)]


def test_the_data_confirms_when_the_alarm_stays_clear_for_a_day_after_the_fix(world: World) -> None:
    """Not before, and nobody has to say so."""
    low(world)
    report(world, alarm_id=1, text="")
    assign(world)
    with pytest.raises(ControlError, match="want spot_fixed or fixed"):
        world.ask("hazard.verify", "wang", id=1)
    good(world)
    world.wait(2 * DAY_MS)
    world.ask("hazard.fix", "li", id=1, note="valve opened")
    world.wait(DAY_MS - 1)
    assert hazard(world).state == "fixed"
    world.wait(1)
    assert (hazard(world).state, hazard(world).confirmed_by) == ("closed", "data")


def test_nobody_verifies_what_the_alarm_says_is_still_there(world: World) -> None:
    """A person's word does not stand against the data."""
    low(world)
    report(world, alarm_id=1)
    assign(world)
    world.ask("hazard.fix", "li", id=1, note="done")
    with pytest.raises(ControlError, match="still stands"):
        world.ask("hazard.verify", "wang", id=1)
    world.wait(20 * DAY_MS)
    assert hazard(world).state == "fixed"


@pytest.mark.parametrize("days", [0.5, 20])
def test_a_fault_that_returns_opens_its_hazard_again(world: World, days: float) -> None:
    """Before the data confirmed it, it goes back to its owner; after it was closed it is found anew."""
    low(world)
    report(world, alarm_id=1)
    assign(world)
    world.ask("hazard.fix", "li", id=1, note="done")
    good(world)
    world.wait(int(days * DAY_MS))
    world.restart()
    low(world)
    row = hazard(world)
    assert (row.state, row.reopened, row.alarm_id) == ("assigned" if days < 1 else "found", 1, 2)
    assert len(row.rounds) == (1 if days < 1 else 2)
    assert said(world, "hazards_open_count") == 1


def test_a_fault_that_comes_after_the_time_of_return_is_a_new_hazard(world: World) -> None:
    """The old one is filed."""
    low(world)
    report(world, alarm_id=1)
    assign(world)
    world.ask("hazard.fix", "li", id=1, note="done")
    good(world)
    world.wait(32 * DAY_MS)
    assert hazard(world).state == "filed"
    low(world)
    world.wait(DAY_MS)
    assert (hazard(world).state, hazard(world, 2).state) == ("filed", "found")


def test_what_is_late_is_said_and_an_extension_ends_it(world: World) -> None:
    """The overdue time stands on the row to the millisecond, also when nothing ran at that moment."""
    number = report(world)
    assign(world)
    due_ms = hazard(world).due_ms
    assert due_ms is not None
    world.wait(4 * DAY_MS)
    assert (said(world, "hazards_overdue_count"), hazard(world).overdue[0].since_ms) == (1, due_ms)
    world.ask("hazard.extend", id=number, days=5, note="parts are late")
    row = hazard(world)
    assert (row.overdue[0].until_ms, row.extensions, said(world, "hazards_overdue_count")) == (world.now_ms, 1, 0)


def test_the_same_words_about_the_same_thing_are_one_hazard(world: World) -> None:
    """A patrol that finds it every two hours finds it again."""
    for _ in range(3):
        report(world, subject="shuiye/hydrant-01", place="")
        report(world, place="stair 3")
    for _ in range(2):
        report(world, place="")  # who knows where
    assert [row.seen for row in world.state.registers.hazards.open()] == [3, 3, 1, 1]


def test_a_report_of_the_public_counts_only_when_a_person_took_it_on(world: World) -> None:
    """Before that it is no hazard: no count, no deadline; and its words stand outside the audit chain."""
    given = {"receipt": receipt_hash("abc"), "text": "Smoke 13800138000", "site": "shuiye", "phone": "13800138000"}
    number = world.ask("hazard.receive", "public", **given)["id"]
    assert (hazard(world).state, said(world, "hazards_open_count"), said(world, "reports_waiting_count")) == (
        "reported", None, 1,
    )  # fmt: skip
    world.wait(10 * DAY_MS)
    assert hazard(world).overdue == ()
    world.ask("hazard.take", id=number, site="shuiye", text="stairwell full of boxes")
    assert (said(world, "hazards_open_count"), said(world, "reports_waiting_count")) == (1, 0)
    chain = world.connection.execute("SELECT group_concat(detail) FROM audit").fetchone()[0]
    assert "13800138000" not in chain


def test_the_same_receipt_twice_is_one_report(world: World) -> None:
    """Sent again by an impatient thumb, or after the answer was lost; in the ledger once."""
    given = {"receipt": receipt_hash("abc"), "text": "smoke"}
    numbers = [world.ask("hazard.receive", "public", **given)["id"] for _ in range(2)]
    world.restart()
    numbers.append(world.ask("hazard.receive", "public", **given)["id"])
    world.ask("hazard.dismiss", id=1, note="a barbecue")
    world.wait(40 * DAY_MS)
    numbers.append(world.ask("hazard.receive", "public", **given)["id"])
    assert numbers == [1, 1, 1, 1]
    assert world.connection.execute("SELECT count(*) FROM public_report").fetchone()[0] == 1


def test_no_more_reports_wait_than_may_and_what_was_taken_stays(world: World) -> None:
    """A flood is refused in words; nothing that was accepted is lost."""
    for at in range(200):
        world.ask("hazard.receive", "public", receipt=receipt_hash(str(at)), text="smoke")
    with pytest.raises(ControlError, match="Try again later"):
        world.ask("hazard.receive", "public", receipt=receipt_hash("one more"), text="smoke")
    world.restart()
    assert len(world.state.registers.hazards.reported("")) == 200


def test_what_the_public_wrote_is_erased_when_it_is_over(world: World) -> None:
    """After the time in which the report may still be taken on; on request before."""
    for code in ("one", "two"):
        world.ask("hazard.receive", "public", receipt=receipt_hash(code), text=f"words {code}", phone="139")
        world.ask("hazard.dismiss", id=1 if code == "one" else 2, note="nothing there")
    world.ask("hazard.erase", id=2)
    rows = "SELECT text, phone FROM public_report ORDER BY hazard"
    assert world.connection.execute(rows).fetchall() == [("words one", "139"), ("", "")]
    world.wait(31 * DAY_MS)
    assert world.connection.execute(rows).fetchall() == [("", ""), ("", "")]


def mended(world: World) -> None:
    """A hazard whose alarm has cleared is fixed."""
    low(world)
    report(world, alarm_id=1)
    assign(world)
    good(world)
    world.ask("hazard.fix", "li", id=1, note="valve opened")


def test_a_device_that_is_silent_confirms_nothing(tmp_path: Path) -> None:
    """While its data cannot be relied on the time of confirmation waits, and counts anew once it speaks again."""
    world = World(with_silence(tmp_path))
    mended(world)
    silent: dict[str, Any] = {"rule": "device-silent", "device": "hydrant-01", "severity": "warning"}
    world.wait(HOUR_MS)
    world.decide("raise", "shuiye/hydrant-01", **silent)
    world.wait(2 * DAY_MS)
    world.restart()
    world.wait(HOUR_MS)
    assert hazard(world).state == "fixed"
    world.decide("clear", "shuiye/hydrant-01", **silent)
    world.wait(DAY_MS - 1)
    assert hazard(world).state == "fixed"
    world.wait(1)
    assert (hazard(world).state, hazard(world).confirmed_by) == ("closed", "data")


@pytest.mark.parametrize(("stopped_ms", "state"), [(60_000, "closed"), (20 * HOUR_MS, "fixed")])
def test_a_gateway_that_did_not_run_has_seen_no_data(world: World, stopped_ms: int, state: str) -> None:
    """After a long stop the time of confirmation begins anew; a restart changes nothing."""
    mended(world)
    world.wait(4 * HOUR_MS)
    world.now_ms += stopped_ms
    world.restart()
    world.wait(20 * HOUR_MS)
    assert hazard(world).state == state
    world.wait(4 * HOUR_MS + 1)
    assert hazard(world).state == "closed"


def test_what_is_in_maintenance_or_a_drill_neither_makes_nor_opens_a_hazard(world: World) -> None:
    """A test of a device is no fault; what still stands afterwards is."""
    window: dict[str, Any] = {"site": "shuiye", "scope": ["hydrant-01"], "reason": "yearly service"}
    world.ask("maintenance.open", from_ms=world.now_ms, until_ms=world.now_ms + 3 * DAY_MS, **window)
    low(world)
    world.wait(2 * DAY_MS)
    assert world.state.registers.hazards.open() == []
    world.wait(DAY_MS + HOUR_MS)
    assert [row.subject for row in world.state.registers.hazards.open()] == [SUBJECT]


def test_words_of_the_public_that_were_altered_do_not_fit_the_record(world: World) -> None:
    """The audit chain has their digest, and nothing that could be read."""
    world.ask("hazard.receive", "public", receipt=receipt_hash("abc"), text="smoke", place="stair 2")
    world.connection.execute("UPDATE public_report SET text = 'nothing'")
    report = find_report(world.connection, 1)
    assert report is not None
    assert report.digest != hazard(world).words


def test_commands_that_make_no_sense_are_refused_in_words(world: World) -> None:
    """And change nothing: the world looks."""
    report(world)
    for op, args, said in (
        ("report", {"site": "nowhere", "text": "x"}, "no such site"),
        ("report", {"site": "shuiye", "text": " "}, "want what is wrong"),
        ("report", {"alarm_id": 99}, "does not stand"),
        ("assign", {"id": 1, "owner": "li", "measure": "x"}, "either"),
        ("assign", {"id": 1, "owner": "li", "measure": "x", "deadline_ms": world.now_ms}, "a later one"),
        ("assign", {"id": 1, "owner": "li", "measure": "x", "days": 1, "person": 77}, "no such person"),
        ("assign", {"id": 1, "owner": "li", "measure": "x", "days": 1, "money_fen": -1}, "money_fen"),
        ("verify", {"id": 1}, "is found"),
        ("fix", {"id": 8, "note": "x"}, "no such hazard"),
        ("erase", {"id": 1}, "no report of the public"),
        ("close", {"id": 1, "colour": "red"}, "unknown field"),
    ):
        with pytest.raises(ControlError, match=said):
            world.ask(f"hazard.{op}", **args)
