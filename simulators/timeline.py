"""A story laid out in time: a pure function of story, plan, seed and speed, so that two runs do the same.

Speed shrinks story time, except where an event would become too short for a rule's own delay or for three
polls: there time runs as fast as that event allows. Everything else keeps its order.
"""

from __future__ import annotations

import fnmatch
import random
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from contract.errors import ConfigError
from contract.messages import Value
from contract.profile import Point, Profile, ProfileLibrary, Text
from simulators import encoding
from simulators.link import LinkMode
from simulators.printer import PrintedEvent
from simulators.station import DevicePlan, StationPlan
from simulators.story import Event, Life, Story
from simulators.story_acts import AgentAct, Ask, Habits, LineAct, PanelAct

_POLLS = 3
_SLACK_S = 0.5
_RULE_SLACK_S = 4.0
"""A condition outlasts its rule's delay by this: polls, transport and a busy machine."""
_LIFE_STEP = 2.0
"""Steps of life in deadbands; well above 1 so that rounding to the register never hides a step."""
_LIFE_MEMORY = 3
"""A level differs from this many before it, so that each is a change whichever of them was seen."""


class SetPoint(NamedTuple):
    """Give a point a value."""

    point: str
    value: Value


class SetSilence(NamedTuple):
    """Make a device silent, or let it answer again."""

    device: str
    silent: bool


class SetLink(NamedTuple):
    """The way to the broker behaves so from here on."""

    mode: LinkMode


class AlarmDue(NamedTuple):
    """From here on a rule must speak (or, with `due` false, need not any more)."""

    rule: str
    subject: str
    due: bool
    contact: bool = False
    after_s: float = 0.0
    poll_s: float = 0.0


class PrintEvent(NamedTuple):
    """Print on a printer panel; `alarms` are due if anybody listened."""

    device: str
    event: PrintedEvent
    alarms: tuple[AlarmDue, ...] = ()


class StepTold(NamedTuple):
    """A step of the story, for people."""

    name: str
    text: Text


class SetBroken(NamedTuple):
    """A sensor's word means nothing, or something again."""

    point: str
    is_broken: bool


class SetLine(NamedTuple):
    """A line suffers from something; None: not any more."""

    line: str
    act: LineAct | None


class SetAgent(NamedTuple):
    """An agent is not itself; None: it is again."""

    act: AgentAct | None


class PanelSays(NamedTuple):
    """A listened panel says something, or that it is over."""

    act: PanelAct
    is_over: bool


class SetOwn(NamedTuple):
    """What the gateway finds of itself; None: as ever."""

    point: str
    value: Value


class SetGateway(NamedTuple):
    """The gateway runs, or does not."""

    is_running: bool


class SetHabits(NamedTuple):
    """How the crew keeps its duty from here on."""

    habits: Habits


class Asked(NamedTuple):
    """A person gives a command."""

    ask: Ask


Action = (
    SetPoint | SetSilence | SetLink | PrintEvent | AlarmDue | StepTold | SetBroken | SetLine | SetAgent | PanelSays
    | SetOwn | SetGateway | SetHabits | Asked
)  # fmt: skip


class Label(NamedTuple):
    """The ground truth of an event: it was from..to, seconds from the start; `event` says what may be said of it."""

    from_s: float
    to_s: float
    event: Event


class Timeline(NamedTuple):
    """actions: (seconds from the start, action) in order. length_s: until the end of the quiet tail. labels: what is
    true of it, in the order of the story."""

    actions: list[tuple[float, Action]]
    length_s: float
    labels: list[Label] = []


class PointPlan(NamedTuple):
    device: DevicePlan
    profile: Profile
    point: Point
    start: Value
    poll_s: float


def lay_out(
    story: Story, plan: StationPlan, library: ProfileLibrary, *, seed: int, speed: float, link: bool
) -> Timeline:
    """The story in real seconds.

    Args:
        seed: of every random choice.
        speed: story seconds a real second, where events allow.
        link: whether there is a link to cut; without it events of the link are left out.

    Raises:
        ConfigError: the story names a device, point, value or panel the station does not have.
    """
    rng = random.Random(seed)  # noqa: S311 - a simulation that must repeat, not a secret
    points = points_of(plan, library)
    events = [event for event in story.events if link or event.link is None]
    events += exercise_events(story, points, rng)
    check_events(events, plan, points)
    clock = _Clock(events, story, points, speed)
    spans = sorted(((clock.real(e.at_s), clock.real(e.at_s + e.for_s), e) for e in events), key=lambda span: span[:2])
    end_s = clock.real(story.length_s)
    moves: list[tuple[float, str, Value]] = []
    for life in story.life:
        moves += _life_moves(life, points, spans, end_s, speed, rng)
    actions = sorted(actions_of(spans, moves, points, plan, story), key=lambda pair: pair[0])
    return Timeline(actions, end_s + story.tail_s, [Label(*span) for span in spans])


class _Clock:
    """Story time -> real time: slope 1/speed, steeper where an event needs more."""

    def __init__(self, events: list[Event], story: Story, points: dict[str, PointPlan], speed: float) -> None:
        floors = [(e.at_s, e.at_s + e.for_s, _shortest(e, story, points) / e.for_s) for e in events]
        edges = sorted({0.0, story.length_s, *(edge for low, high, _ in floors for edge in (low, high))})
        self._known = [(0.0, 0.0, 1 / speed)]
        real = 0.0
        for low, high in pairwise(edges):
            slope = max([1 / speed, *(need for start, end, need in floors if start <= low and high <= end)])
            self._known.append((low, real, slope))
            real += (high - low) * slope
        self._known.append((edges[-1], real, 1 / speed))

    def real(self, story_s: float) -> float:
        start, real, slope = next(entry for entry in reversed(self._known) if entry[0] <= story_s)
        return real + (story_s - start) * slope


def _shortest(event: Event, story: Story, points: dict[str, PointPlan]) -> float:
    delays = [story.must_speak_after_s(rule) for rules in event.alarms.values() for rule in rules]
    rules = max(delays) + _RULE_SLACK_S if delays and max(delays) > 0 else 0.0
    polls = max((points[name].poll_s for name in event.sets), default=0.0)
    return max(rules, polls * _POLLS + _SLACK_S)


def points_of(plan: StationPlan, library: ProfileLibrary) -> dict[str, PointPlan]:
    found: dict[str, PointPlan] = {}
    for device in plan.devices.values():
        profile: Profile = library[device.profile]
        for point in profile.points_for(device.points):
            start = device.start.get(point.name, None if point.text else encoding.default_value(point))
            found[f"{device.id}/{point.name}"] = PointPlan(
                device, profile, point, start, device.poll_s or profile.poll_s
            )
    return found


def exercise_events(story: Story, points: dict[str, PointPlan], rng: random.Random) -> Iterator[Event]:
    for exercise in story.exercises:
        for change in exercise.changes:
            for name in change.points:
                if name not in points:
                    raise ConfigError(f"exercise: got {name!r}, want a point of the station. Mend the name.")
                at_s = exercise.from_s + rng.uniform(0, exercise.rest_s[1])
                hold_s, count = rng.uniform(*exercise.hold_s), 0
                while at_s + hold_s <= exercise.until_s:
                    value = rng.choice(list(change.to))
                    count += 1
                    yield Event.model_validate(
                        {
                            "name": f"{name.replace('/', '-')}-{count}",
                            "at_s": at_s,
                            "for_s": hold_s,
                            "set": {name: value},
                            "alarms": {name: change.to[value]} if change.to[value] else {},
                        }
                    )
                    at_s += hold_s + rng.uniform(*exercise.rest_s)
                    hold_s = rng.uniform(*exercise.hold_s)


def check_events(events: list[Event], plan: StationPlan, points: dict[str, PointPlan]) -> None:
    devices, zones = plan.devices, plan.zones
    printers = {device.id for line in plan.lines if line.kind == "printer" for device in line.devices}
    for event in events:
        for name in event.sets:
            if name not in points or points[name].point.text:
                raise ConfigError(f"event {event.name}: set: got {name!r}, want a point of the station. Mend the name.")
            _check_value(event, name, points[name])
        for name in event.silence:
            if name not in devices or name in printers:
                raise ConfigError(f"event {event.name}: silence: got {name!r}, want a Modbus device. Mend the name.")
        for printout in (event.prints, event.prints_back):
            if printout is not None and printout.device not in printers:
                raise ConfigError(
                    f"event {event.name}: print: got {printout.device!r}, want one of {sorted(printers)}."
                )
        for subject in event.alarms:
            if subject != plan.agent and subject.partition("/")[0] not in devices and subject not in zones:
                raise ConfigError(f"event {event.name}: alarms: got {subject!r}, want a subject of the station.")


def _check_value(event: Event, name: str, at: PointPlan) -> None:
    if at.profile.modbus is None:
        return  # a sensor that sends by itself: its document takes any value of the right type
    setting = at.device.setting or encoding.default_setting(at.profile, at.point)
    try:
        encoding.encode(at.point, event.sets[name], at.profile.modbus, setting)
    except ValueError as exc:
        raise ConfigError(f"event {event.name}: set: {name}: {exc}") from exc


def _life_moves(
    life: Life,
    points: dict[str, PointPlan],
    spans: list[tuple[float, float, Event]],
    end_s: float,
    speed: float,
    rng: random.Random,
) -> Iterator[tuple[float, str, Value]]:
    names = fnmatch.filter(points, life.points)
    if not names:
        raise ConfigError(f"life: got {life.points!r}, which fits no point. Mend the pattern.")
    for name in names:
        at = points[name]
        floor = at.poll_s * _POLLS + _SLACK_S
        low, high = (max(hold / speed, floor) for hold in life.hold_s)
        busy = [
            (start - low, end + low)
            for start, end, event in spans
            if name in event.sets or name.partition("/")[0] in event.silence
        ]
        levels, recent = _levels(name, at, life.spread), [at.start]
        now = rng.uniform(low, high)
        while now < end_s - floor:
            value = rng.choice([level for level in levels if level not in recent])
            if not any(start <= now <= end for start, end in busy):
                yield now, name, value
                recent = [*recent, value][-_LIFE_MEMORY:]
            now += rng.uniform(low, high)


def _levels(name: str, at: PointPlan, spread: float) -> list[Value]:
    step = at.point.deadband * _LIFE_STEP
    if not at.point.is_number or not isinstance(at.start, int | float) or step <= 0:
        raise ConfigError(f"life: got {name!r}, want a number with a deadband.")
    count = int(spread / step)
    low, high = at.point.range or (-spread * 1e9, spread * 1e9)
    levels: list[Value] = [at.start + n * step for n in range(-count, count + 1) if low <= at.start + n * step <= high]
    if len(levels) <= _LIFE_MEMORY:
        raise ConfigError(
            f"life: {name}: got spread {spread:g}, want at least {_LIFE_MEMORY * step:g} within the range. Widen it."
        )
    return levels


def actions_of(
    spans: list[tuple[float, float, Event]],
    moves: list[tuple[float, str, Value]],
    points: dict[str, PointPlan],
    plan: StationPlan,
    story: Story,
) -> Iterator[tuple[float, Action]]:
    """Everything in order of time; a point shows its youngest event that is not over, else its life."""
    base = {name: at.start for name, at in points.items()}
    stacks: dict[str, list[Event]] = {}
    edges: list[tuple[float, int, Event | tuple[str, Value]]] = []
    for start, end, event in spans:
        edges += [(end, 0, event), (start, 2, event)]
    edges += [(at, 1, (name, value)) for at, name, value in moves]
    for at, order, what in sorted(edges, key=lambda edge: edge[:2]):
        if not isinstance(what, Event):
            name, base[name] = what
            if not stacks.get(name):
                yield at, SetPoint(name, base[name])
            continue
        for name in what.sets:
            stack = stacks.setdefault(name, [])
            if order == 2:
                stack.append(what)
            else:
                stack.remove(what)
            yield at, SetPoint(name, stack[-1].sets[name] if stack else base[name])
        for action in _begin(what, plan, points, story) if order == 2 else _finish(what, plan, story):
            yield at, action


def _begin(event: Event, plan: StationPlan, points: dict[str, PointPlan], story: Story) -> Iterator[Action]:
    printed: list[AlarmDue] = []
    zones = plan.zones
    for subject, rules in event.alarms.items():
        for rule in rules:
            contact = _is_contact(event, subject, rule, points, story)
            after_s = story.must_speak_after_s(rule)
            poll_s = points[subject].poll_s if subject in event.sets else 0.0
            alarm = AlarmDue(rule, f"{plan.site}/{subject}", True, contact, after_s, poll_s)
            device = zones.get(subject) or subject.partition("/")[0]
            if event.prints is not None and device == event.prints.device:
                printed.append(alarm)
            else:
                yield alarm
    for silent in event.silence:
        yield SetSilence(silent, True)
    if event.link is not None:
        yield SetLink(event.link)
    if event.prints is not None:
        yield PrintEvent(event.prints.device, event.prints.event, tuple(printed))
    if event.sensor is not None and event.sensor.fault == "broken":
        yield SetBroken(event.sensor.at, True)
    if event.line is not None:
        yield SetLine(event.line.id, event.line)
    if event.agent is not None:
        yield SetAgent(event.agent)
    if event.panel is not None:
        yield PanelSays(event.panel, False)
    for point, value in event.own.items():
        yield SetOwn(point, value)
    if event.gateway is not None:
        yield SetGateway(False)
    if event.crew is not None:
        yield SetHabits(event.crew)
    for ask in event.ask:
        yield Asked(ask)
    if event.say is not None:
        yield StepTold(event.name, event.say)


def _finish(event: Event, plan: StationPlan, story: Story) -> Iterator[Action]:
    for subject, rules in event.alarms.items():
        for rule in rules:
            yield AlarmDue(rule, f"{plan.site}/{subject}", False)
    for device in event.silence:
        yield SetSilence(device, False)
    if event.link is not None:
        yield SetLink("up")
    if event.sensor is not None and event.sensor.fault == "broken":
        yield SetBroken(event.sensor.at, False)
    if event.line is not None:
        yield SetLine(event.line.id, None)
    if event.agent is not None:
        yield SetAgent(None)
    if event.panel is not None and event.panel.is_over:
        yield PanelSays(event.panel, True)
    for point in event.own:
        yield SetOwn(point, None)
    if event.gateway is not None:
        yield SetGateway(True)
    if event.crew is not None:
        yield SetHabits(story.crew_after(event.crew))
    for ask in event.ask_back:
        yield Asked(ask)
    if event.prints_back is not None:
        yield PrintEvent(event.prints_back.device, event.prints_back.event)
    if event.back is not None:
        yield StepTold(f"{event.name}-over", event.back)


def _is_contact(event: Event, subject: str, rule: str, points: dict[str, PointPlan], story: Story) -> bool:
    """Whether the alarm follows a polled contact at once, so that its latency says something."""
    at = points.get(subject)
    lane = at.point.lane if at is not None and subject in event.sets else "telemetry"
    return lane == "alarm" and story.must_speak_after_s(rule) == 0
