"""What the engine remembers: agents with their lanes, lines, devices, points with their last values, and each rule on
each subject."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from contract.messages import Reading, Value
from contract.profile import Profile
from contract.site import Site
from rules.board import Trace
from rules.conditions_view import Calm, Node
from rules.decisions import COURSE, Effects, Event, RuleState, Transition
from rules.gate import Gate
from rules.model import Rule, State, Threshold
from rules.spans import Spans

_INF = float("inf")
NEVER = 2**62
"""Later than any time there is."""
NEVER_HEARD = Reading("-/-", 0, None, "unknown:never_heard")


class Lane:
    """One lane of an agent: how far event time is complete on it."""

    __slots__ = ("agent", "behind", "courses", "held", "name", "newest_ms")

    def __init__(self, agent: Agent, name: str) -> None:
        self.agent = agent
        self.name = name
        self.behind = True
        """More may come that was measured before now: its agent is away, or has a backlog."""
        self.held: int | None = None
        """Batches of the backlog that are still to come; None: not told."""
        self.newest_ms = 0
        self.courses: list[Course] = []


class Agent:
    """An agent: whether it is connected, its lanes, its lines, and the rules about its loss."""

    __slots__ = ("devices", "heard_ms", "is_own", "lanes", "lines", "online", "path", "returned_ms", "timer", "watches")

    def __init__(self, path: str, is_own: bool = False) -> None:
        self.path = path
        self.is_own = is_own
        """It is the gateway itself: always there."""
        self.timer = 0
        self.online = is_own
        self.heard_ms = 0
        self.returned_ms = 0
        self.watches: list[Watch] = []
        self.lanes = {"alarm": Lane(self, "alarm"), "telemetry": Lane(self, "telemetry")}
        self.lines: list[Line] = []
        self.devices: list[Device] = []
        if is_own:
            for lane in self.lanes.values():
                lane.behind = False

    @property
    def is_behind(self) -> bool:
        """Whether more may come that was measured before now."""
        return any(lane.behind for lane in self.lanes.values())

    def fall_behind(self) -> None:
        """What it measured is not known any more."""
        if not self.is_own:
            for lane in self.lanes.values():
                lane.behind, lane.held = True, None


class Line:
    """A line of an agent: its devices, whether it is lost, and the rules about that."""

    __slots__ = ("agent", "devices", "fault", "path", "teller", "told", "watches")

    def __init__(self, path: str, agent: Agent) -> None:
        self.path = path
        self.agent = agent
        self.devices: list[Device] = []
        self.teller: LastValue | None = None
        self.told: bool | None = None
        """What the agent says of it, at the point `teller`."""
        self.fault = Spans()
        self.watches: list[Watch] = []


class Device:
    """A known device: its points, and the rules about it as a whole."""

    __slots__ = (
        "after_ms", "agent", "agent_name", "due_ms", "explained", "fault", "line", "name", "points", "poll_s",
        "profile", "rules", "silence_ms", "silent", "since_ms", "site", "teller", "timer", "wait_ms", "watches",
    )  # fmt: skip

    def __init__(self, site: str, name: str, agent: Agent, profile: Profile) -> None:
        self.site = site
        self.name = name
        self.agent = agent
        self.agent_name = ""
        """Who sends its readings."""
        self.profile = profile
        self.line: Line | None = None
        self.poll_s = profile.poll_s
        self.silence_ms = int(profile.max_silence_s * 1000)
        self.since_ms = 0
        """Silence counts from here at the earliest."""
        self.after_ms = 0
        self.wait_ms = 0
        """How long its silence is not believed, because its line may be what is lost."""
        self.timer = 0
        self.points: list[LastValue] = []
        self.watches: list[Watch] = []
        """Rules about its absence."""
        self.explained: list[Watch] = []
        """Rules whose alarms a fault of the device or of a node above it explains."""
        self.rules: dict[str, Rule] = {}
        """Rules that have other limits for this device."""
        self.due_ms: dict[str, int] = {}
        self.fault = Spans()
        """When it did not answer."""
        self.teller: LastValue | None = None
        """Its point `online`."""
        self.silent = False
        """It is at fault because nothing was heard of it, not because its agent said so."""

    @property
    def path(self) -> str:
        """`site/device`."""
        return f"{self.site}/{self.name}"

    @property
    def heard_ms(self) -> int:
        """When a reading of it last arrived, or the start of the count."""
        return max((point.received_ms for point in self.points), default=0) or self.since_ms


class LastValue:
    """The current picture of one point, and where its readings are judged."""

    __slots__ = (
        "alarming", "calm", "device", "feeds", "high", "holding", "is_new", "key", "lane", "last", "low", "quiet",
        "received_ms",
    )  # fmt: skip

    def __init__(self, key: str, device: Device, lane: Lane) -> None:
        self.key = key
        self.device = device
        self.lane = lane
        self.last = NEVER_HEARD
        self.received_ms = 0
        self.feeds: list[Feed] = []
        self.holding = 0
        """Readings of it that are held back."""
        self.is_new = False
        """What a course remembers of it changed since it was written down."""
        # A number within [low, high], and a word not in `alarming`, changes nothing while the point is calm.
        self.calm = True
        self.quiet = True
        """Every rule that judges each reading by itself is at rest."""
        self.low = -_INF
        self.high = _INF
        self.alarming: frozenset[bool | str] = frozenset()

    def settle(self) -> None:
        """Work out whether a harmless value may be passed over."""
        self.quiet = not any(watch.phase != "rest" for feed in self.feeds for watch in feed.quick)
        self.calm = self.quiet and not self.holding and not any(feed.is_busy for feed in self.feeds)

    def is_harmless(self, value: Value) -> bool:
        """Whether a good value changes nothing for the rules that judge each reading by itself, while they rest."""
        if value.__class__ is float:
            return self.low <= value <= self.high
        return value not in self.alarming

    def set_limits(self) -> None:
        """Work out which values are harmless."""
        whens = [watch.rule.when for feed in self.feeds for watch in feed.quick]
        limits = [when for when in whens if isinstance(when, Threshold)]
        self.low = max((t.below for t in limits if t.below is not None), default=-_INF)
        self.high = min((t.above for t in limits if t.above is not None), default=_INF)
        self.alarming = frozenset(word for when in whens if isinstance(when, State) for word in when.equals)
        if any(feed.node is not None for feed in self.feeds):
            self.alarming |= {False}
        self.settle()

    @property
    def observed_ms(self) -> int:
        """When the value was measured, ms UTC by the agent's clock; 0 when never."""
        return self.last.observed_ms

    @property
    def value(self) -> Value:
        """The value; None when there is none."""
        return self.last.value

    @property
    def quality(self) -> str:
        """Its quality."""
        return self.last.quality


class Feed:
    """A point's readings on their way into one course: those who judge each by itself, and those who look deeper."""

    __slots__ = ("course", "deep", "looks", "node", "quick", "slot", "trace")

    def __init__(self, slot: LastValue, course: Course) -> None:
        self.slot = slot
        self.course = course
        self.quick: list[Watch] = []
        self.deep: list[Watch] = []
        self.looks: list[tuple[Watch, Gate | None, str | None]] = []
        """Each of them, which good values can matter to it while it rests, and what its condition calls the point."""
        self.trace: Trace | None = None
        self.node: Device | Line | None = None
        """Whose being reachable the point tells."""

    @property
    def is_busy(self) -> bool:
        """Whether any value matters to it now, whatever the phases of the rules."""
        return self.trace is not None or (self.node is not None and self.node.fault.since_ms is not None)


class Course:
    """What is judged in the order of event time: points of certain lanes, and the timers of the rules on them.

    A course of one lane takes readings as they come. One of several lanes holds them back until all of its lanes are
    complete up to there. `lanes` empty: it goes by the gateway's clock.
    """

    __slots__ = ("done_ms", "held", "key", "lanes", "late", "late_ms", "timers", "traces", "wake_ms", "was_holding")

    def __init__(self, key: str, lanes: tuple[Lane, ...]) -> None:
        self.key = key
        self.lanes = lanes
        self.held: list[tuple[int, int, Feed, Reading]] = []
        self.timers: list[tuple[int, int, str, int, str, Watch]] = []
        """(due, rank, subject, number, kind, watch)."""
        self.traces: dict[str, Trace] = {}
        self.wake_ms = NEVER
        self.done_ms = 0
        self.was_holding = False
        self.late: dict[tuple[str, str], Watch] = {}
        """Raised about the past while more was still to come."""
        self.late_ms = 0
        """They count as still true from then on."""

    @property
    def is_behind(self) -> bool:
        """Whether more may come that was measured before now."""
        return any(lane.behind for lane in self.lanes)

    def reach_ms(self, now_ms: int) -> int:
        """How far event time is complete. Nobody waits for an agent that is away, but those below it."""
        for lane in self.lanes:
            if lane.behind:
                break
        else:
            return now_ms
        here = [lane for lane in self.lanes if lane.agent.online]
        return min((lane.newest_ms if lane.behind else now_ms for lane in here or self.lanes), default=now_ms)


class Watch:
    """One rule on one subject.

    above: the node whose fault, or that of a node above it, explains the alarm. again_ms: when the condition is judged
    again at the latest. known_ms: since when the subject is known, where the condition counts from there. flap_ms:
    raises within the rule's flap window. rank: of what is due at one moment the lower comes first: what inhibits
    before what is inhibited. waits: it would have been raised but for what explains or inhibits it.
    """

    __slots__ = (
        "above", "again", "again_ms", "alarm_id", "calm", "counts_known", "course", "detail", "device", "dues",
        "flap_count", "flap_ms", "flapping", "group", "is_late", "is_timed", "known_ms", "knows_calm", "node",
        "past", "phase", "points", "rank", "rule", "sight", "since_ms", "site", "slots", "subject", "suppressed",
        "timer", "up_ms", "version", "waits",
    )  # fmt: skip

    def __init__(self, rule: Rule, version: str, subject: str, site: str, device: Device | None) -> None:
        self.rule = rule
        self.version = version
        self.subject = subject
        self.site = site
        self.device = device
        self.group: Group | None = None
        self.above: Device | Line | Agent | Literal["broker"] | None = None
        self.course: Course = Course("", ())
        self.node: Node | None = None
        self.sight: Any = None
        """What its condition looks through (rules.sight.Sight); None of a rule that needs no looking."""
        self.slots: list[LastValue] = []
        """Points that fall back to the fast path when it rests."""
        self.points: list[str] = []
        """Points of the subject as `device/point`, for a tally."""
        self.phase = "rest"
        self.since_ms = 0
        self.known_ms = 0
        self.alarm_id: int | None = None
        self.detail: dict[str, Any] = {}
        self.rank = 0
        self.timer = 0
        self.again = 0
        self.again_ms = 0
        self.calm: Calm | None = None
        """Which readings need no looking at while it rests."""
        self.knows_calm = False
        """Its condition may tell so."""
        self.counts_known = False
        self.is_timed = False
        """Time alone may change it: when it last changed is remembered even at rest."""
        self.up_ms = 0
        """Since when its alarm is up."""
        self.past: list[tuple[int, int]] = []
        """When it was up before, while there is somebody who has not come that far."""
        self.flap_ms: list[int] = []
        self.flap_count = 0
        self.flapping = False
        self.suppressed: str | None = None
        self.waits = False
        self.dues: list[tuple[int, str]] = []
        """Timers that wait for its lanes and would be forgotten: (due, kind)."""
        self.is_late = 0
        """Raised about the past: when it counts as still true; 0: it was not."""

    @property
    def is_up(self) -> bool:
        """Whether its alarm is active."""
        return self.phase in ("active", "clearing") or self.flapping

    def state(self) -> RuleState:
        """What is written down of it."""
        extra: dict[str, Any] = {}
        if self.is_up:
            extra["up_ms"] = self.up_ms
        if self.past:
            extra["past"] = self.past
        if self.flap_ms:
            extra["raises"] = self.flap_ms
        if self.flapping:
            extra["flapping"] = self.flap_count
        if self.suppressed is not None:
            extra["suppressed"] = self.suppressed
        if self.is_late:
            extra["late"] = self.is_late
        if self.dues:
            extra["dues"] = sorted(self.dues)
        if self.known_ms:
            extra["known_ms"] = self.known_ms
        detail = {**self.detail, "_": extra} if extra else self.detail
        remembers = self.is_timed or self.flapping or self.flap_ms or self.past or self.dues
        phase = "past" if self.phase == "rest" and remembers else self.phase
        alarm_id = self.alarm_id if self.is_up else None
        return RuleState(self.rule.id, self.subject, phase, self.since_ms, alarm_id, detail)

    def restore(self, state: RuleState) -> None:
        """Go on from what was written down."""
        detail = dict(state.detail)
        extra = detail.pop("_", {})
        self.phase = "rest" if state.phase == "past" else state.phase
        self.since_ms, self.alarm_id, self.detail = state.since_ms, state.alarm_id, detail
        self.flap_ms, self.flap_count = list(extra.get("raises", [])), int(extra.get("flapping", 0))
        self.flapping = self.flap_count > 0
        self.suppressed, self.is_late = extra.get("suppressed"), int(extra.get("late", 0))
        self.known_ms = extra.get("known_ms", self.known_ms)
        self.dues = [(due_ms, kind) for due_ms, kind in extra.get("dues", [])]
        self.up_ms = extra.get("up_ms", state.since_ms)
        self.past = [(begin_ms, end_ms) for begin_ms, end_ms in extra.get("past", [])]
        self.is_timed = self.is_timed or (state.phase == "past" and not self.past)


class Group:
    """Points that are judged together, and the rules about them."""

    __slots__ = ("devices", "exact", "id", "kind", "points", "site", "watches", "wild")

    def __init__(self, site: str, group_id: str, kind: str, members: tuple[str, ...]) -> None:
        self.site = site
        self.id = group_id
        self.kind = kind
        self.set_members(members)
        self.watches: list[Watch] = []
        self.points: set[str] = set()
        self.devices: set[str] = set()

    def set_members(self, members: tuple[str, ...]) -> None:
        """Which points belong to it from now on; those that are there already stay."""
        self.exact = frozenset(member for member in members if "*" not in member)
        self.wild = tuple(member for member in members if "*" in member)

    @property
    def path(self) -> str:
        """`site/group`."""
        return f"{self.site}/{self.id}"


class World:
    """Everything there is, and what has happened since it was last written down."""

    def __init__(self, rules: dict[str, Rule]) -> None:
        self.rules = rules
        self.sites: dict[str, Site] = {}
        self.slots: dict[str, dict[str, LastValue]] = {}
        self.of_agent: dict[tuple[str, str], dict[str, LastValue]] = {}
        self.devices: dict[tuple[str, str], Device] = {}
        self.agents: dict[tuple[str, str], Agent] = {}
        self.own = Agent("gateway", is_own=True)
        self.lines: dict[tuple[str, str], Line] = {}
        self.groups: dict[str, list[Group]] = {}
        self.watches: dict[tuple[str, str], Watch] = {}
        self.of_rule: dict[str, list[Watch]] = {}
        self.courses: dict[str, Course] = {}
        self.broker_connected = True
        self.broker_ms = 0
        self.now_ms = 0
        self.transitions: list[Transition] = []
        self.changed: dict[tuple[str, str], Watch] = {}
        self.changed_courses: dict[str, Course] = {}
        self.moved: dict[str, Place] = {}

    def values(self) -> Iterator[tuple[str, LastValue]]:
        """Every point as `site/device/point`, with its current picture."""
        for slots in self.slots.values():
            for slot in slots.values():
                yield slot.key, slot


Place = Agent | Line | Device
__all__ = ["COURSE", "Effects", "Event", "RuleState", "Spans", "Transition"]
