"""The steps of a hazard as pages and API take them: one body a step, who may take it, and the command it becomes."""

from __future__ import annotations

from datetime import date, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from contract.hazard import HazardLevel
from gateway.web import commands
from gateway.web.access import ADMINISTER, HANDLE, MAINTAIN, Person, Refused
from gateway.web.context import Web
from gateway.web.texts import msgid
from gateway.work.deadlines import MOST_DAYS
from gateway.work.rectification import HAZARD, Hazard
from rules.calendar import moment_ms

Said = Annotated[str, Field(min_length=1, max_length=2000, pattern=r"\S")]
Short = Annotated[str, Field(max_length=200)]
Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"\S")]
Photo = Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]
"""Name of a photo in the store; empty: none."""
Days = Annotated[int, Field(ge=0, le=MOST_DAYS)]


class Step(BaseModel):
    """Base of every step."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)


class Take(Step):
    """Take a report of the public on, in words of one's own."""

    step: Literal["take"]
    site: str
    text: Said
    subject: Short = ""
    place: Short = ""
    level: HazardLevel = "general"


class Dismiss(Step):
    """A report of the public that is none."""

    step: Literal["dismiss"]
    note: Said


class Assign(Step):
    """Who is to fix it, how, by when, with what money."""

    step: Literal["assign"]
    owner: Name
    """A login, or the name of a unit."""
    measure: Said
    days: Days | None = None
    """The end of the day so many days from today."""
    working: bool | None = None
    """Count working days; null: as the site does."""
    until: date | None = None
    """Instead of days: the end of this day."""
    department: Name | None = None
    interim: Annotated[str, Field(max_length=2000)] = ""
    """What protects meanwhile."""
    money_yuan: Annotated[Decimal, Field(ge=0, le=10**11, decimal_places=2)] | None = None
    level: HazardLevel | None = None


class Extend(Step):
    """Put the deadline off."""

    step: Literal["extend"]
    note: Said
    days: Days | None = None
    working: bool | None = None
    until: date | None = None


class Fix(Step):
    """It is fixed: on the spot when nobody was assigned, else by whom it was assigned to."""

    step: Literal["fix"]
    note: Said
    photo: Photo = ""


class Verify(Step):
    """A second person saw that it is fixed."""

    step: Literal["verify"]
    note: Annotated[str, Field(max_length=2000)] = ""


class Reject(Step):
    """It is not fixed."""

    step: Literal["reject"]
    note: Said


class Close(Step):
    """Sign a confirmed one off."""

    step: Literal["close"]
    note: Annotated[str, Field(max_length=2000)] = ""


class PutOnList(Step):
    """An authority supervises it (挂牌督办)."""

    step: Literal["list"]
    number: Name
    authority: Name
    until: date
    """The authority's deadline: the end of this day."""


class Delist(Step):
    """The authority takes it off its list."""

    step: Literal["delist"]
    note: Said


class WriteNote(Step):
    """Write something down."""

    step: Literal["note"]
    note: Said


class Erase(Step):
    """Erase what a member of the public wrote, and the telephone number."""

    step: Literal["erase"]


AnyStep = Annotated[
    Take | Dismiss | Assign | Extend | Fix | Verify | Reject | Close | PutOnList | Delist | WriteNote | Erase,
    Field(discriminator="step"),
]
STEP: TypeAdapter[Any] = TypeAdapter(AnyStep)
MAY: dict[str, frozenset[str]] = {
    "take": HANDLE,
    "dismiss": HANDLE,
    "assign": HANDLE,
    "extend": MAINTAIN,
    "fix": HANDLE,
    "verify": HANDLE,
    "reject": HANDLE,
    "close": MAINTAIN,
    "list": ADMINISTER,
    "delist": ADMINISTER,
    "note": HANDLE,
    "erase": ADMINISTER,
}


async def take_step(web: Web, who: Person, hazard_id: int, body: Any) -> dict[str, Any]:
    """Take a step; gives the hazard's row as it is then.

    Raises:
        Refused: the role may not, there is no such hazard. What else commands.py raises.
    """
    if not who.may(MAY[body.step]):
        raise Refused(403, msgid("Your role does not allow this."))
    hazard = await find_hazard(web, hazard_id)
    given = body.model_dump(exclude={"step", "until", "money_yuan"}, exclude_none=True)
    if getattr(body, "until", None) is not None:
        if getattr(body, "days", None) is not None:
            raise Refused(422, msgid("Give either a number of days or a date."))
        name = {"assign": "deadline_ms", "extend": "until_ms", "list": "deadline_ms"}[body.step]
        given[name] = end_of_day(web, hazard.site, body.until)
    if getattr(body, "money_yuan", None) is not None:
        given["money_fen"] = int(body.money_yuan * 100)
    result: dict[str, Any] = await commands.do(web, who, f"hazard.{body.step}", id=hazard_id, **given)
    return result


async def find_hazard(web: Web, hazard_id: int) -> Hazard:
    """A hazard, open or not. Raises Refused."""
    found: Hazard | None = await web.read(web.ledger.entry, HAZARD, hazard_id) if 0 < hazard_id < 2**62 else None
    if found is None:
        raise Refused(404, msgid("There is no such hazard."))
    return found


def end_of_day(web: Web, site: str, day: date) -> int:
    """When that day ends at the site, ms UTC."""
    known = web.inventory.sites.get(site)
    return moment_ms(day + timedelta(days=1), time(), ZoneInfo(known.time_zone if known else web.settings.timezone))
