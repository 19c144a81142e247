"""Stories: what happens at a station, when, and which rules must speak about it. Read from YAML (docs/simulation.md).

Times are story seconds. At the demo's station `speed` shrinks them when the story is planned (`simulators.timeline`),
but never so far that a rule with a delay of its own could not speak any more; in the town they are real ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AliasChoices, Field, model_validator

from contract import configfile
from contract.configfile import Section
from contract.equipment import Asset
from contract.errors import ConfigError
from contract.patrol import TrainingPlan
from contract.profile import Ident, Text
from simulators.printer import PrintedEvent
from simulators.story_acts import (
    AgentAct,
    Ask,
    Bound,
    Habits,
    LineAct,
    PanelAct,
    PointName,
    SensorAct,
    Speaks,
    WaterAct,
)
from simulators.story_values import Parameter, Seconds, draw_parameters, fill_in

GOOD_HABITS = Habits(
    begins=True,
    answers=True,
    relief=True,
    late_s=0.0,
    listens=True,
    log=True,
    ticks=True,
    patrols=True,
    trains=True,
    responds=True,
)
STORIES = Path(__file__).parent / "stories"
Range = Annotated[tuple[float, float], Field(description="shortest and longest, s")]
StoryValue = float | bool | str


class Printout(Section):
    """One event on a printer panel."""

    device: Ident
    word: str
    """What happened, as panels print it: 首次火警, 火警后续, 故障, 系统复位."""
    loop: int = Field(default=0, ge=0, le=999)
    point: int = Field(default=0, ge=0, le=999)
    place: str = ""
    kind: str = ""
    """What the addressed device is: 感烟探测器."""

    @property
    def event(self) -> PrintedEvent:
        """As the printer takes it."""
        return PrintedEvent(self.word, self.loop, self.point, self.place, self.kind)


class Event(Section):
    """Something that begins `at` a time and is over `for` later; what it changed is then as before."""

    name: Ident
    at_s: Seconds = Field(ge=0, validation_alias=AliasChoices("at", "at_s"))
    for_s: Seconds = Field(gt=0, validation_alias=AliasChoices("for", "for_s"))
    say: Text | None = None
    """Told when it begins; None: nothing is told."""
    back: Text | None = None
    """Told when it is over."""
    sets: dict[PointName, StoryValue] = Field(default={}, alias="set")
    """Values by `device/point`."""
    prints: Printout | None = Field(default=None, alias="print")
    prints_back: Printout | None = Field(default=None, alias="print_back")
    """Printed when it is over."""
    silence: list[Ident] = []
    """Devices that answer nobody meanwhile."""
    link: Literal["cut", "stalled", "half_open", "split", "late"] | None = None
    """State of the way between agent and broker meanwhile."""
    water: WaterAct | None = None
    sensor: SensorAct | None = None
    line: LineAct | None = None
    agent: AgentAct | None = None
    panel: PanelAct | None = None
    own: dict[Ident, StoryValue] = {}
    """What the gateway finds of itself meanwhile, by point of `system/gateway`."""
    gateway: Literal["stopped"] | None = None
    """The gateway does not run meanwhile."""
    crew: Habits | None = None
    """How the crew keeps its duty meanwhile."""
    ask: list[Ask] = []
    """Commands of people, in order, when it begins."""
    ask_back: list[Ask] = []
    """Commands of people when it is over."""
    alarms: dict[str, list[Ident]] = {}
    """Subject within the site (`device/point`, device, agent or zone) -> rules that must speak."""
    speaks: list[Speaks] = []
    """Rules that ought to speak."""
    may: list[Bound] = []
    """Rules that may speak from the beginning of it until `settles` after its end, as a consequence."""
    silent: list[Bound] = []
    """Rules that must not speak in that time, whatever other events allow."""
    settles_s: Seconds = Field(default=900.0, ge=0, validation_alias=AliasChoices("settles", "settles_s"))


class Life(Section):
    """Values that move in steps above the deadband, each held long enough to be read several times."""

    points: str
    """Pattern over `device/point`, such as `hydrant-*/pressure_kpa`."""
    spread: float = Field(gt=0)
    """Largest distance from the first value."""
    hold_s: Range


class Change(Section):
    """One point of an exercise: it leaves its rest for one of these values, again and again."""

    points: list[PointName] = Field(min_length=1)
    to: dict[StoryValue, list[Ident]]
    """Value -> rules that must speak."""


class Exercise(Section):
    """Many changes with random phases: each point rests, changes, rests, ... on its own."""

    from_s: float = Field(default=0, ge=0)
    until_s: float
    hold_s: Range
    rest_s: Range
    changes: list[Change]


class Story(Section):
    """A story."""

    title: Text
    about: Text | None = None
    """One sentence on what it is there for."""
    station: Literal["shuiye", "town"] = "shuiye"
    """Whose equipment: the demo's station, or the town on a water network."""
    kind: Literal["events", "quiet"] = "events"
    """quiet: nothing but normal life, so whatever speaks is false."""
    starts: datetime = datetime(2026, 3, 3, 8)  # noqa: DTZ001  # local time, wherever the town is
    """Local time of second 0."""
    step_s: Seconds = Field(default=10.0, ge=1, le=600, validation_alias=AliasChoices("step", "step_s"))
    """The water is looked at this often, and instruments give a value."""
    parameters: dict[str, Parameter] = {}
    """What the seed or the command line decides."""
    also: list[Ident] = []
    """Devices beside the usual ones: `wireless-02`, whose pressure nobody can scale, so that it is always bad."""
    assets: dict[Ident, Asset] = {}
    """Dates of the life of devices."""
    staffed: bool = False
    """The station has a post, people and duties; they keep them as `crew` says."""
    trainings: list[TrainingPlan] | None = None
    """Drills and training that are owed; the usual ones when absent."""
    crew: Habits = Habits()
    """Habits that differ from good ones for the whole story."""
    seed: int = 1
    """Start of every random choice; the command line may give another."""
    length_s: Seconds = Field(gt=0, validation_alias=AliasChoices("length", "length_s"))
    """Story seconds until the last change."""
    tail_s: float = Field(default=5.0, ge=0)
    """Quiet seconds after that; not shortened by speed."""
    speaks_after_s: dict[Ident, float] = {}
    """How long the rules wait, s of real time; 0 for rules not named."""
    found_after_s: dict[Ident, float] = {}
    """What it takes to find a condition before its rule begins to wait (missed polls, a lost connection), s."""
    life: list[Life] = []
    events: list[Event] = []
    exercises: list[Exercise] = []

    @model_validator(mode="after")
    def _ends(self) -> Story:
        for event in self.events:
            if event.at_s + event.for_s > self.length_s:
                raise ValueError(
                    f"event {event.name}: got an end at {event.at_s + event.for_s:g} s, want at most "
                    f"length_s {self.length_s:g}. Move it or lengthen the story."
                )
        names = [event.name for event in self.events]
        if len(names) != len(set(names)):
            raise ValueError(f"events: got {max(names, key=names.count)!r} more than once, want each name once.")
        return self

    def crew_after(self, habits: Habits) -> Habits:
        """What the crew does once an event is over that changed those habits: what the story says, else good ones."""
        usual = GOOD_HABITS.model_dump() | self.crew.model_dump(exclude_none=True)
        return Habits(**{name: usual[name] for name in habits.model_dump(exclude_none=True)})

    def for_rules(self, speed: float) -> Story:
        """The story for an installation whose rules wait `speed` times shorter."""
        waits = {rule: wait_s / speed for rule, wait_s in self.speaks_after_s.items()}
        return self.model_copy(update={"speaks_after_s": waits})

    def must_speak_after_s(self, rule: str) -> float:
        """How long a condition must hold before the rule must have spoken."""
        return self.speaks_after_s.get(rule, 0.0) + self.found_after_s.get(rule, 0.0)


def load_story(name: str, seed: int | None = None, given: Mapping[str, Any] | None = None) -> Story:
    """A story by its name among those shipped, or by the path of its file.

    Args:
        seed: decides the parameters; the story's own when absent. given: parameters decided otherwise.

    Raises:
        ConfigError: there is none of that name, or the file does not fit, with its line.
    """
    path = find_story(name)
    node = configfile.read_node(path)
    data = configfile.build(node, path)
    if not isinstance(data, dict):
        return configfile.validate(data, Story, path, node)
    said = {"parameters": data.get("parameters") or {}}
    known = configfile.validate(said, _Parameters, path, node).parameters
    values = draw_parameters(known, int(data.get("seed", 1)) if seed is None else seed, given)
    try:
        filled = {key: value if key == "parameters" else fill_in(value, values) for key, value in data.items()}
    except ValueError as exc:
        raise ConfigError(f"{path}:{_line_of(str(exc), node)}: {exc} Name one of them.") from exc
    return configfile.validate(filled, Story, path, node)


def find_story(name: str) -> Path:
    """The file of a story. Raises ConfigError."""
    path = Path(name) if name.endswith((".yaml", ".yml")) else STORIES / f"{name}.yaml"
    if not path.is_file():
        raise ConfigError(
            f"story: got {name!r}, want one of {', '.join(shipped())}, or a YAML file. Name one that exists."
        )
    return path


def shipped() -> list[str]:
    """Names of the stories that come with the product."""
    return sorted(found.stem for found in STORIES.glob("*.yaml"))


class _Parameters(Section):
    parameters: dict[str, Parameter] = {}


def _line_of(text: str, node: yaml.Node | None) -> int:
    """The line of the scalar that a message quotes by its parameter."""
    wanted = text.partition("got the parameter ")[2].partition(",")[0]
    waiting = [node] if node is not None else []
    while waiting:
        at = waiting.pop(0)
        if isinstance(at, yaml.ScalarNode) and wanted in at.value:
            return int(at.start_mark.line) + 1
        if isinstance(at, yaml.MappingNode):
            waiting += [each for pair in at.value for each in pair]
        elif isinstance(at, yaml.SequenceNode):
            waiting += at.value
    return 1
