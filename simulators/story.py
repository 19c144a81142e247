"""Stories: what happens at a station, when, and which rules must speak about it. Read from YAML.

Times are story seconds; `speed` shrinks them when the story is planned (`simulators.timeline`), but never so far
that a rule with a delay of its own could not speak any more.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from contract import configfile
from contract.configfile import Section
from contract.errors import ConfigError
from contract.profile import Ident, Text
from simulators.printer import PrintedEvent

STORIES = Path(__file__).parent / "stories"
PointName = Annotated[str, Field(pattern=r"^[a-z0-9_-]+/[a-z0-9_-]+$")]
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
    """Something that begins at `at_s` and is over `for_s` later; what it changed is then as before."""

    name: Ident
    at_s: float = Field(ge=0)
    for_s: float = Field(gt=0)
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
    link: Literal["cut", "stalled"] | None = None
    """State of the way between agent and broker meanwhile."""
    alarms: dict[str, list[Ident]] = {}
    """Subject within the site (`device/point`, device, agent or zone) -> rules that must speak."""


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
    seed: int = 1
    """Start of every random choice; the command line may give another."""
    length_s: float = Field(gt=0)
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

    def for_rules(self, speed: float) -> Story:
        """The story for an installation whose rules wait `speed` times shorter."""
        waits = {rule: wait_s / speed for rule, wait_s in self.speaks_after_s.items()}
        return self.model_copy(update={"speaks_after_s": waits})

    def must_speak_after_s(self, rule: str) -> float:
        """How long a condition must hold before the rule must have spoken."""
        return self.speaks_after_s.get(rule, 0.0) + self.found_after_s.get(rule, 0.0)


def load_story(name: str) -> Story:
    """A story by its name among those shipped, or by the path of its file.

    Raises:
        ConfigError: there is none of that name, or the file does not fit.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else STORIES / f"{name}.yaml"
    if not path.is_file():
        shipped = ", ".join(sorted(found.stem for found in STORIES.glob("*.yaml")))
        raise ConfigError(f"story: got {name!r}, want one of {shipped}, or a YAML file. Name one that exists.")
    return configfile.load(path, Story)
