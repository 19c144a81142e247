"""The running count of a tally says what asking every point would, whatever happened before."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from contract.messages import Reading, Value
from contract.profile import ProfileLibrary
from contract.site import Site, load_site
from rules.board import FIRST, Board, board_of
from rules.conditions_points import TallyNode, pressure_at_20c
from rules.conditions_view import Truth, View, is_known
from rules.engine import Engine
from rules.memory import Watch
from rules.model import Rule, Tally, Threshold
from rules.sight import Sight
from tests.rules.engine_run import START, Run, engine_of, rule

FIRE = {"kind": "state", "equals": ["fire"]}
LOW = {"kind": "threshold", "below": 200, "clear": 220, "at_20c": "water_temperature_c"}
LATE = "shed_temperature_c"
"""No point of the profile: made when it first speaks."""
SITE = """\
site: s
title: {zh: 站, en: station}
agents:
  - id: edge
    lines:
      - id: tcp-1
        kind: modbus_tcp
        host: 127.0.0.1
        devices:
          - {id: hydrant-1, profile: hydrant-municipal, unit_id: 1}
          - {id: hydrant-2, profile: hydrant-municipal, unit_id: 2}
          - {id: hydrant-3, profile: hydrant-municipal, unit_id: 3}
      - id: printer-1
        kind: printer
        port: /dev/ttyS0
        devices: [{id: panel-02, profile: panel-printer, point_map: map.csv}]
groups:
  - {id: east, kind: main, title: {zh: 东, en: East}, members: [hydrant-*/pressure_kpa]}
"""
MAP = "address,place_zh,type,zone\n" + "".join(
    f"l001p{n:03d},一层,{'手动报警按钮' if n % 5 == 0 else '感烟探测器'},{n % 2 + 1}F\n" for n in range(1, 13)
)


def tally(name: str, of: dict[str, Any], **more: Any) -> Rule:
    """A rule that is nothing but a tally. more: of the condition; `per`, `group`, `applies_to` of the rule."""
    places: dict[str, Any] = {key: more.pop(key) for key in ("per", "group", "applies_to") if key in more}
    return rule({"id": name, "when": {"kind": "tally", "of": of, **more}, **places})


def rules_of(at_least: int) -> dict[str, Rule]:
    """Rules about zones, a panel and a main."""
    zone = {"per": "group", "group": "zone", "applies_to": ["panel-printer/l[0-9]*"]}
    main = {"per": "group", "group": "main", "applies_to": ["hydrant-municipal/pressure_kpa"]}
    device = {"per": "device", "applies_to": ["panel-printer/*"]}
    made = [
        tally("zone-now", FIRE, at_least=at_least, manual_counts=True, **zone),
        tally("zone-late", FIRE, at_least=2, within_s=20, manual_counts=True, **zone),
        tally("panel-now", {"kind": "state", "equals": ["disabled", "fault"]}, at_least=3, **device),
        tally("panel-late", FIRE, at_least=at_least, within_s=45, **device),
        tally("main-now", LOW, at_least=2, **main),
        tally("main-shed", {**LOW, "at_20c": LATE}, at_least=at_least, **main),
        tally("main-late", {**LOW, "at_20c": None}, at_least=at_least, within_s=30, **main),
        tally(
            "hydrant-now",
            {**LOW, "at_20c": LATE},
            at_least=1,
            per="device",
            applies_to=["hydrant-municipal/pressure_kpa"],
        ),
    ]
    return {each.id: each for each in made}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("board")
    (folder / "map.csv").write_text(MAP, "utf-8")
    (folder / "site.yaml").write_text(SITE, "utf-8")
    return load_site(folder / "site.yaml", ProfileLibrary())


def walked(node: TallyNode, leaf: Tally, view: View, at_ms: int) -> Truth:
    """The same, by asking every point, as the words of the condition say it."""
    met, maybe, known = set[str](), set[str](), set[str]()
    for point in view.points():
        last = view.last(point)
        if last is None or not last.observed_ms:
            continue
        holds = _holds(leaf, view, point, last)
        known |= {point} if holds is not None else set()
        met |= {point} if holds else set()
        maybe |= {point} if holds is not False else set()
    counted, again_ms = sorted(met), None
    if leaf.within_s is not None:
        assert node.entry_keep is not None
        series = {point: view.series(point) for point in view.points()}
        tracks = {p: each.entries(node.entry_keep) for p, each in series.items() if each is not None}
        newest_ms = max((each.newest_ms for each in series.values() if each is not None), default=0)
        within_ms = round(leaf.within_s * 1000)
        entries = [(track.last_entry_ms, p) for p, track in tracks.items() if track is not None]
        after_ms = max(at_ms, newest_ms) - within_ms
        entered = sorted((ms, point) for ms, point in entries if ms is not None and ms > after_ms)
        counted = [point for _, point in entered]
        lasting = [ms for ms, point in entered if leaf.manual_counts and view.is_manual(point)]
        lasting += [entered[-leaf.at_least][0]] if len(entered) >= leaf.at_least else []
        again_ms = max(lasting) + within_ms if lasting else None
    manual = leaf.manual_counts and any(view.is_manual(point) for point in counted)
    maybe_manual = leaf.manual_counts and any(view.is_manual(point) for point in maybe)
    violated = manual or len(counted) >= leaf.at_least
    over = not violated and bool(known) and len(maybe) < leaf.at_least and not maybe_manual
    inputs = {
        "kind": "tally", "count": len(counted), "limit": leaf.at_least, "points": counted[:FIRST], "manual": manual,
    }  # fmt: skip
    return Truth(violated, over, inputs, again_ms)


def _holds(leaf: Tally, view: View, point: str, last: Reading) -> bool | None:
    if not is_known(last.value, last.quality):
        return None
    if not isinstance(leaf.of, Threshold):
        return last.value in leaf.of.equals and not isinstance(last.value, float)
    if not isinstance(last.value, float):
        return None
    number = last.value
    if leaf.of.at_20c is not None:
        beside = view.last(f"{point.partition('/')[0]}/{leaf.of.at_20c}")
        if beside is None or not is_known(beside.value, beside.quality) or not isinstance(beside.value, float):
            return None
        number = pressure_at_20c(number, beside.value)
    assert leaf.of.below is not None
    return True if number < leaf.of.below else False if number >= leaf.of.clear else None


class Life:
    """A gateway's life in random steps: readings early and late, lost agents, restarts, other rules and devices."""

    def __init__(self, site: Site, seed: int) -> None:
        self.chance = random.Random(seed)
        self.site = site
        self.rules = rules_of(2)
        self.run = Run(self._make, checkpoint_every=self.chance.choice([1, 4, 10**9]))
        self.checked = 0

    def _make(self) -> Engine:
        return engine_of(self.rules, self.site)()

    def step(self) -> None:
        """Something happens."""
        steps: list[tuple[int, Callable[[], None]]] = [
            (60, self._speak), (8, self._advance), (2, self.run.restart), (2, self._other_rules), (2, self._swap),
            (2, self._away), (2, self._regroup),
        ]  # fmt: skip
        weights = [weight for weight, _ in steps]
        self.chance.choices([act for _, act in steps], weights)[0]()

    def _speak(self) -> None:
        chance, now_ms, readings = self.chance, self.run.now, []
        for _ in range(chance.randint(1, 4)):
            at_ms = now_ms - chance.choice([0, 0, 0, 1, 500, 4_000, 25_000])
            quality = chance.choice(["good"] * 5 + ["uncertain:stale", "test", "unknown:no_answer"])
            value: Value
            if chance.random() < 0.6:
                point = f"panel-02/l001p{chance.randint(1, 12):03d}"
                value = chance.choice(["fire", "fire", "normal", "normal", "disabled", "fault"])
            elif chance.random() < 0.7:
                point = f"hydrant-{chance.randint(1, 3)}/pressure_kpa"
                value = float(chance.choice([150, 195, 205, 219, 220, 300]))
            else:
                name = chance.choice(["water_temperature_c", LATE])
                point, value = f"hydrant-{chance.randint(1, 3)}/{name}", float(chance.choice([-9, 20, 40]))
            readings.append(Reading(point, at_ms, None if quality == "unknown:no_answer" else value, quality))
        self.run.observe(*readings)
        self.run.advance(now_ms + chance.choice([0, 1, 300, 2_000]))

    def _advance(self) -> None:
        self.run.advance(self.run.now + self.chance.choice([1_000, 10_000, 40_000]))

    def _other_rules(self) -> None:
        made = rules_of(self.chance.randint(1, 3))
        dropped = self.chance.choice([*made, ""])
        self.rules = {name: each for name, each in made.items() if name != dropped}
        self.run.engine.replace_rules(self.rules)
        self.run.commit()

    def _swap(self) -> None:
        device = self.chance.choice(["hydrant-1", "hydrant-3", "panel-02"])
        self.run.engine.remove_device("s", device)
        if self.chance.random() < 0.5:
            self.check()
        self.run.engine.add_site(self.site)
        self.run.commit()

    def _away(self) -> None:
        agent = ("s", "edge")
        self.run.agents[agent] = not self.run.agents[agent]
        self.run.engine.agent_heard(*agent, self.run.agents[agent], self.run.now)
        self.run.commit()

    def _regroup(self) -> None:
        groups = self.site.groups[0].model_copy(
            update={"members": self.chance.choice([["hydrant-*/pressure_kpa"], ["hydrant-2"]])}
        )
        self.site = self.site.model_copy(update={"groups": [groups]})
        self.run.engine.replace_groups(self.site)
        self.run.commit()

    def tallies(self) -> list[tuple[Watch, TallyNode, Tally]]:
        """Every tally of every subject."""
        watches = self.run.engine._world.watches.values()
        return [
            (watch, watch.node, watch.rule.when)
            for watch in watches
            if isinstance(watch.node, TallyNode) and isinstance(watch.rule.when, Tally)
        ]

    def check(self) -> None:
        """Every board says what asking every point says."""
        for watch, node, leaf in self.tallies():
            before_ms = watch.sight.at_ms
            for at_ms in (self.run.now - 15_000, self.run.now, self.run.now + 15_000):
                truth = node.judge(watch.sight, at_ms)
                assert truth == walked(node, leaf, watch.sight, at_ms), (watch.rule.id, watch.subject)
                self.checked += truth.inputs["count"]
            watch.sight.at_ms = before_ms


@pytest.mark.parametrize("seed", range(16))
def test_board_says_what_asking_every_point_says_when_anything_happens(site: Site, seed: int) -> None:
    """Readings early and late, points that are new, restarts, other rules, groups and devices, agents away."""
    life = Life(site, seed)
    for number in range(150):
        life.step()
        if number % life.chance.choice([1, 3, 10]) == 0:
            life.check()
    life.check()
    assert life.checked > 100
    life.run.restart()
    life.check()


class Asked:
    """A view that counts how often it is asked about a point."""

    def __init__(self, sight: Sight) -> None:
        self._sight = sight
        self.asked = 0

    def last(self, point: str | None) -> Reading | None:
        self.asked += 1
        return self._sight.last(point)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sight, name)


@pytest.mark.parametrize("name", ["panel-now", "panel-late"])
def test_one_point_is_asked_when_one_point_changed(site: Site, name: str) -> None:
    """A reading of one of 300 points of a panel costs the asking of one, and names at most the first 20."""
    run = Run(engine_of(rules_of(3), site))
    names = [f"panel-02/l{1 + n // 100:03d}p{n % 100:03d}" for n in range(300)]
    run.observe(*(Reading(each, START, "normal") for each in names))
    run.observe(*(Reading(each, START, "fault") for each in names[100:]))
    run.observe(*(Reading(each, START, "fire") for each in names[:100]))
    watch = run.engine._world.watches[name, "s/panel-02"]
    assert isinstance(watch.node, TallyNode)
    first = watch.node.judge(watch.sight, START)
    assert len(first.inputs["points"]) == FIRST
    trace = watch.course.traces[f"s/{names[7]}"]
    trace.add(Reading(names[7], START + 1, "normal"), START + 1)

    asked = Asked(watch.sight)
    truth = watch.node.judge(asked, START + 1)

    assert asked.asked == 1
    assert truth == walked(watch.node, Tally.model_validate(watch.rule.when), watch.sight, START + 1)


def test_board_follows_when_a_trace_goes_on_from_an_older_dump(site: Site) -> None:
    """What a point was before counts again: its entry, and how new its newest reading is."""
    run = Run(engine_of(rules_of(1), site))
    run.say("panel-02/l001p001", "normal")
    watch = run.engine._world.watches["panel-late", "s/panel-02"]
    assert isinstance(watch.node, TallyNode)
    trace = watch.course.traces["s/panel-02/l001p001"]
    dumped = trace.dump()
    run.advance(START + 10_000)
    run.say("panel-02/l001p001", "fire")
    assert watch.node.judge(watch.sight, START).violated

    trace.load("panel-02/l001p001", dumped)

    assert board_of(watch.sight, watch.node).newest_ms == START
    assert watch.node.judge(watch.sight, START)[:2] == (False, True)


def test_points_are_named_in_the_same_order_whatever_came_first(site: Site) -> None:
    """By name: a decision names the same points after a restart as before."""
    told = []
    for order in (1, -1):
        run = Run(engine_of(rules_of(3), site))
        for n in list(range(1, 6))[::order]:
            run.observe(Reading(f"panel-02/l001p{n:03d}", START, "fault"))
        watch = run.engine._world.watches["panel-now", "s/panel-02"]
        assert isinstance(watch.node, TallyNode)
        told.append(watch.node.judge(watch.sight, START).inputs["points"])
    assert told[0] == told[1] == [f"panel-02/l001p{n:03d}" for n in range(1, 6)]


def test_board_is_forgotten_by_traces_when_its_points_are_others(site: Site) -> None:
    """Nothing is told to boards that nobody looks at any more."""
    run = Run(engine_of(rules_of(2), site))
    run.say("hydrant-2/pressure_kpa", 150.0)
    watch = run.engine._world.watches["main-now", "s/east"]
    assert isinstance(watch.node, TallyNode)
    before: Board = board_of(watch.sight, watch.node)
    gone = watch.course.traces["s/hydrant-1/pressure_kpa"]
    assert (before, "hydrant-1/pressure_kpa") in gone.boards
    run.engine.remove_device("s", "hydrant-1")
    after = board_of(watch.sight, watch.node)

    traces = watch.course.traces
    assert after is not before
    assert gone.boards == ()
    assert {board for trace in traces.values() for board, _ in trace.boards}.isdisjoint({before})
    assert after in {board for board, _ in traces["s/hydrant-2/pressure_kpa"].boards}


def test_site_has_zones_and_manual_call_points(site: Site) -> None:
    """The map names two zones and its manual call points, so that the tests above speak of them."""
    assert {group.kind for group in site.all_groups()} == {"main", "zone"}
    assert site.is_manual("panel-02", "l001p005")
