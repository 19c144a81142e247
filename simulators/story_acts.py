"""What an event of a story can do beside setting points: to the water, a sensor, a line, an agent, the gateway, people;
and what is the truth about it: which rules ought to speak, which may, which must not."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from contract.configfile import Section
from contract.panel import EventClass
from contract.profile import Ident
from simulators.story_values import Seconds

PointName = Annotated[str, Field(pattern=r"^[a-z0-9_-]+/[a-z0-9_-]+$")]
Pattern = Annotated[str, Field(pattern=r"^[a-z0-9_*?/\[\]-]+$")]

_NEEDS = {
    "burst": ("at", "hole_mm"),
    "leak": ("at", "hole_mm"),
    "opened": ("at", "hole_mm"),
    "valve_closed": ("at",),
    "demand": ("factor",),
    "frost": ("air_c",),
}


class WaterAct(Section):
    """Something that happens to the water network; over when the event is.

    burst, leak: a hole of `hole_mm` in the main beside the devices `at`. opened: their outlets are open by `hole_mm`.
    valve_closed: the valve before them. works_stopped, booster_stopped: pumps. demand: all demands times `factor`.
    frost: the air falls to `air_c`.
    """

    what: Literal["burst", "leak", "opened", "valve_closed", "works_stopped", "booster_stopped", "demand", "frost"]
    at: list[Ident] = []
    hole_mm: float | None = Field(default=None, gt=0, le=600)
    factor: float | None = Field(default=None, gt=0, le=20)
    air_c: float | None = Field(default=None, ge=-50, le=50)

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Self:
        for name in _NEEDS.get(self.what, ()):
            if not getattr(self, name):
                raise ValueError(f"{self.what}: got no `{name}`, want one.")
        return self


class SensorAct(Section):
    """An instrument is not itself. stuck: shows what it showed. dead: gives nothing. drift: is `by` (a day) off more
    and more. offset: is off by `by`. noisy: its noise is `by` wide. broken: its word means nothing."""

    at: PointName
    fault: Literal["stuck", "dead", "drift", "offset", "noisy", "broken"]
    by: float = 0.0

    @model_validator(mode="after")
    def _has_a_size(self) -> Self:
        if self.fault in ("drift", "offset", "noisy") and not self.by:
            raise ValueError(f"{self.fault}: got no `by`, want how much.")
        return self


class LineAct(Section):
    """A line is not itself. unplugged: nobody answers. noise, late, echo, collision: a `share` of answers suffers."""

    id: Ident
    fault: Literal["unplugged", "noise", "late", "echo", "collision"]
    share: float = Field(default=0.2, gt=0, le=1)
    """Of answers."""


class AgentAct(Section):
    """An agent is not itself."""

    clock_s: float = 0.0
    """Its clock is ahead by this much."""
    unheard: bool = False
    """The gateway's receipts do not come through: what it holds grows old."""
    stopped: bool = False
    """It does not run."""


class PanelAct(Section):
    """A listened panel says something; at the end of the event it says that it is over."""

    device: Ident
    event: EventClass
    loop: int = Field(default=1, ge=0, le=999)
    point: int = Field(default=1, ge=0, le=999)
    address: str | None = None
    """State point it belongs to, instead of loop and point: mode, bus, main_power, ..."""
    is_over: bool = True
    """Whether it says at the end that it is over."""


class Ask(Section):
    """A person gives a command at the gateway."""

    op: Annotated[str, Field(pattern=r"^[a-z_]+\.[a-z_]+$")]
    by: str = "duty"
    """Name of the user."""
    args: dict[str, Any] = {}


class Habits(Section):
    """How the crew keeps its duty; what is left out stays as it was before."""

    begins: bool | None = None
    """There is a crew on duty when the story begins."""
    answers: bool | None = None
    """Duty checks are answered."""
    relief: bool | None = None
    """The next crew comes on time and signs."""
    late_s: Seconds | None = None
    """How late the next crew comes."""
    listens: bool | None = None
    """Each crew listens to the sounds of the duty screen when it takes over."""
    log: bool | None = None
    """The log is written every two hours."""
    ticks: bool | None = None
    """Equipment is looked at."""
    patrols: bool | None = None
    """Routes are walked."""
    trains: bool | None = None
    """Drills and training are held."""
    responds: bool | None = None
    """A fire is acknowledged, gone to and reported."""


class Speaks(Section):
    """A rule that ought to speak: any of `rule`, about any subject that fits `of`, within a time of the event."""

    rule: Annotated[list[Ident], Field(min_length=1)]
    of: Pattern = "*"
    """Pattern over subjects within the site: `hydrant-02*`, `panel-01/p003`, `ring` (a group)."""
    within_s: Seconds = Field(alias="within", gt=0)
    after_s: Seconds = Field(default=0.0, alias="after", ge=0)
    """Not before so much of it has passed."""
    is_contact: bool = False
    """The delay says something of the product: a contact, and a rule without a delay of its own."""

    @model_validator(mode="before")
    @classmethod
    def _one_or_many(cls, data: Any) -> Any:
        return (
            {**data, "rule": [data["rule"]]} if isinstance(data, dict) and isinstance(data.get("rule"), str) else data
        )

    def fits(self, rule: str, subject: str) -> bool:
        """Whether that is what ought to speak; the subject is without its site."""
        return rule in self.rule and fnmatchcase(subject, self.of)


class Bound(Section):
    """Rules and subjects, by patterns: `{rule: "hydrant-*", of: "hydrant-0[12]*"}`."""

    rule: Pattern
    of: Pattern = "*"

    @model_validator(mode="before")
    @classmethod
    def _text_is_rule(cls, data: Any) -> Any:
        return {"rule": data} if isinstance(data, str) else data

    def fits(self, rule: str, subject: str) -> bool:
        """Whether that is meant."""
        return fnmatchcase(rule, self.rule) and fnmatchcase(subject, self.of)
