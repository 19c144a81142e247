"""Patrols: plans in force, rounds along labels, what is overdue, what counts as done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.control.client import ControlError
from gateway.ledger.entries import entries
from gateway.work.labels import make_label
from gateway.work.routes import ROUND, VISIT, Round, Visit
from gateway.work.training import TRAINING_KIND
from tests.gateway.harness import SITE
from tests.gateway.world import HOUR_MS, World, install

DAY_MS = 24 * HOUR_MS
PATROLS = """\
place: public_gathering
opening: [{open: "08:00", close: "22:00"}]
patrols:
  - id: hall
    title: {zh: 大厅防火巡查, en: Fire patrol of the hall}
    kind: patrol
    walk_s: 20
    stops:
      - {device: hydrant-01, items: [{zh: 压力正常, en: Pressure right}, {zh: 无遮挡, en: Free of things}]}
      - {id: exit-east, title: {zh: 东侧安全出口, en: East exit}}
trainings:
  - {kind: training}
"""
START_MS = 1_760_054_400_000  # 2025-10-10 08:00 in Shanghai


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(install(tmp_path, SITE + PATROLS, of_register=True), START_MS - HOUR_MS)
    made.wait(HOUR_MS)
    return made


def token(world: World, spot: str) -> str:
    return make_label(world.state.registers.patrols.secret, "shuiye", spot).token


def overdue(world: World, point: str = "patrols_overdue_count") -> Any:
    """What was said last."""
    found = dict(world.state.engine.values()).get(f"shuiye/register/{point}")
    return None if found is None else found.value


def walk(
    world: World, *, by: str = "wang", gap_ms: int = 60_000, spots: tuple[str, ...] = ("hydrant-01", "exit-east")
) -> Round:
    """A whole round, every stop well; its row as it ended."""
    begun = world.ask("round.start", by, site="shuiye", plan="hall")
    for spot in spots:
        world.wait(gap_ms)
        items = 2 if spot == "hydrant-01" else 1
        answers = [[n, "ok"] for n in range(items)]
        world.ask("round.tick", by, id=begun["id"], spot=spot, proof=token(world, spot), answers=answers)
    return msgspec.convert(world.ask("round.finish", by, id=begun["id"]), Round)


def test_a_slot_that_passes_without_a_round_is_overdue_until_one_is_walked(world: World) -> None:
    """Every two hours from opening; also after a restart of the gateway."""
    assert walk(world).state == "complete"
    world.wait(2 * HOUR_MS)  # 10:02
    assert overdue(world) == 0
    world.wait(2 * HOUR_MS)  # 12:02
    assert overdue(world) == 1
    [stand] = world.state.registers.patrols.overdue("shuiye")
    assert stand.from_ms == START_MS + 4 * HOUR_MS
    assert [alarm.rule for alarm in world.open] == ["patrol-overdue"]
    world.restart()
    world.turn()
    assert overdue(world) == 1
    assert walk(world).state == "complete"
    assert overdue(world) == 0
    assert [alarm.active for alarm in world.open] == [False]


def test_a_round_with_a_stop_left_out_or_out_of_reach_is_partial_and_stays_overdue(world: World) -> None:
    """The stops that nobody has seen are named."""
    world.wait(2 * HOUR_MS)
    assert overdue(world) == 1
    ended = walk(world, spots=("exit-east",))
    assert (ended.state, ended.skipped) == ("partial", ("hydrant-01",))
    begun = world.ask("round.start", site="shuiye", plan="hall")
    for spot, answers in (("hydrant-01", [[0, "ok"], [1, "unreachable"]]), ("exit-east", [[0, "ok"]])):
        world.wait(60_000)
        world.ask("round.tick", id=begun["id"], spot=spot, proof=token(world, spot), answers=answers)
    ended = msgspec.convert(world.ask("round.finish", id=begun["id"]), Round)
    assert (ended.state, ended.skipped) == ("partial", ("hydrant-01",))
    assert overdue(world) == 1


def test_a_round_from_a_chair_counts_only_with_another_persons_word(world: World) -> None:
    """All stops in seconds: implausible, overdue meanwhile, accepted by somebody else or refused in the end."""
    world.wait(2 * HOUR_MS)
    ended = walk(world, gap_ms=3_000)
    assert (ended.state, ended.fast) == ("implausible", ("exit-east",))
    assert overdue(world) == 1
    with pytest.raises(ControlError, match="who walked it"):
        world.ask("round.judge", "wang", id=ended.id, accept=True, note="it was me")
    world.ask("round.judge", "li", id=ended.id, accept=True, note="two doors side by side")
    assert overdue(world) == 0
    with pytest.raises(ControlError, match="does not wait"):
        world.ask("round.judge", "li", id=ended.id, accept=False, note="no")
    other = walk(world, gap_ms=3_000)
    world.wait(8 * DAY_MS)
    [row] = [row for row in entries(world.connection, ROUND) if row.id == other.id]
    assert (row.state, row.judged_by) == ("refused", "gateway")


def test_a_stop_is_answered_only_with_its_own_label_and_by_who_walks(world: World) -> None:
    """Another stop's token, none at all, another person, a stop of no route; a typed code counts and is marked."""
    begun = world.ask("round.start", site="shuiye", plan="hall")
    tick = {"id": begun["id"], "spot": "exit-east", "answers": [[0, "ok"]]}
    good = token(world, "exit-east")
    for proof in (token(world, "hydrant-01"), "", good[:-1], good + "x", good.replace("shuiye", "other"), "ａ"):
        with pytest.raises(ControlError, match="proof"):
            world.ask("round.tick", **tick, proof=proof)
    with pytest.raises(ControlError, match="who walks it"):
        world.ask("round.tick", "li", **tick, proof=good)
    with pytest.raises(ControlError, match="none of this round"):
        world.ask("round.tick", **{**tick, "spot": "hydrant-09"}, proof=good)
    with pytest.raises(ControlError, match="walks it already"):
        world.ask("round.start", site="shuiye", plan="hall")
    label = next(row for row in world.ask("patrol.labels", site="shuiye") if row["spot"] == "exit-east")
    assert label["token"] == good
    typed = f"{label['code'][:4].upper()}-{label['code'][4:]}".replace("O", "0")
    visit = world.ask("round.tick", **tick, proof=typed)
    assert (visit["how"], visit["state"]) == ("typed", "ok")
    assert [seen.how for seen in world.state.registers.patrols.running("shuiye")[0].seen] == ["typed"]


def test_every_item_wants_an_answer_and_a_finding_becomes_a_hazard(world: World) -> None:
    """The hazard names the device, who found it and what; the same finding again is no second hazard."""
    begun = world.ask("round.start", site="shuiye", plan="hall")
    tick = {"id": begun["id"], "spot": "hydrant-01", "proof": token(world, "hydrant-01")}
    for answers in ([[0, "ok"]], [[0, "ok"], [0, "ok"]], [[0, "ok"], [2, "ok"]]):
        with pytest.raises(ControlError, match="answers"):
            world.ask("round.tick", **tick, answers=answers)
    finding = [[0, "ok"], [1, "finding"]]
    with pytest.raises(ControlError, match="Describe it"):
        world.ask("round.tick", **tick, answers=finding, note=" ")
    photo = "ab" * 32
    visit = world.ask("round.tick", **tick, answers=finding, note="纸箱挡住", photo=photo)
    hazard = world.state.registers.hazards.find(visit["hazard"])
    assert hazard is not None
    assert (hazard.subject, hazard.source, hazard.by, hazard.photo) == ("shuiye/hydrant-01", "patrol", "wang", photo)
    assert hazard.text == "无遮挡；纸箱挡住"
    again = world.ask("round.tick", **tick, answers=finding, note="纸箱挡住")
    assert again["hazard"] == visit["hazard"]
    [kept] = world.state.registers.patrols.running("shuiye")
    assert (kept.hazards, len(kept.seen)) == ((visit["hazard"],), 1)
    visits = [row for row in entries(world.connection, VISIT) if isinstance(row, Visit)]
    assert [row.photo for row in visits] == ["", photo]


def test_a_round_that_nobody_ends_ends_by_itself(world: World) -> None:
    """After twelve hours, as it is; a restart in between changes nothing."""
    begun = world.ask("round.start", site="shuiye", plan="hall")
    world.wait(5 * HOUR_MS)
    world.restart()
    world.wait(8 * HOUR_MS)
    [row] = [row for row in entries(world.connection, ROUND) if row.id == begun["id"]]
    assert (row.state, row.until_ms) == ("partial", START_MS + 12 * HOUR_MS)


def test_an_overdue_plan_stays_overdue_when_it_is_changed_and_ends_when_it_is_taken_away(
    world: World, tmp_path: Path
) -> None:
    """A change ends its running rounds; what was due stays due."""
    world.wait(2 * HOUR_MS)
    begun = world.ask("round.start", site="shuiye", plan="hall")
    (tmp_path / "b").mkdir()
    world.installation = install(tmp_path / "b", SITE + PATROLS.replace("大厅", "前厅"), of_register=True)
    world.restart()
    world.turn()
    assert overdue(world) == 1
    assert world.state.registers.patrols.find(begun["id"]) is None
    plan = world.state.registers.patrols.plan("shuiye", "hall")
    assert plan is not None
    assert (plan.spec.zh, plan.owed_ms) == ("前厅防火巡查", START_MS + 2 * HOUR_MS)
    (tmp_path / "c").mkdir()
    world.installation = install(tmp_path / "c", SITE, of_register=True)
    world.restart()
    world.turn()
    assert overdue(world) == 0
    assert world.state.registers.patrols.plans("shuiye") == []


def test_training_is_overdue_after_its_month_and_recorded_later_counts_for_when_it_was_held(world: World) -> None:
    """Nothing is owed for the month in which the plan began; who took part, the walk test held in it."""
    world.wait(30 * DAY_MS)  # 9 November
    assert overdue(world, "drills_overdue_count") == 0
    drill = world.ask("drill.open", site="shuiye", scope=["*"], until_ms=world.now_ms + HOUR_MS, reason="月度")["id"]
    world.wait(25 * DAY_MS)  # 4 December
    assert overdue(world, "drills_overdue_count") == 1
    record: dict[str, Any] = {"site": "shuiye", "plan": "training/training", "held_ms": world.now_ms - 20 * DAY_MS}
    with pytest.raises(ControlError, match="nobody"):
        world.ask("training.record", **record)
    with pytest.raises(ControlError, match="is over"):
        world.ask("training.record", **{**record, "held_ms": world.now_ms + HOUR_MS}, count=3)
    with pytest.raises(ControlError, match="people"):
        world.ask("training.record", **record, people=[77])
    with pytest.raises(ControlError, match="no such drill"):
        world.ask("training.record", **record, count=3, drill=77)
    with pytest.raises(ControlError, match="is a route"):
        world.ask("training.record", **{**record, "plan": "hall"}, count=3)
    world.ask("training.record", **record, count=6, note="水带连接", drill=drill)
    assert overdue(world, "drills_overdue_count") == 0
    [row] = entries(world.connection, TRAINING_KIND)
    assert (row.count, row.drill, row.from_ms, row.recorded_ms) == (6, drill, record["held_ms"], world.now_ms)
