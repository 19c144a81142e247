"""Steps of a work order as pages and API take them: one body a step, who may take it, and the command it becomes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from contract.order import PRIORITIES, Priority
from gateway.web import commands
from gateway.web.access import HANDLE, MAINTAIN, Person, Refused
from gateway.web.context import Web
from gateway.web.listing import Key
from gateway.web.registers.at_hand import at_hand
from gateway.web.registers.hazard_steps import Name, Photo, Said, Short, end_of_day
from gateway.web.texts import msgid
from gateway.work.order_life import ORDER, Cause, Order

Work = Literal["inspection", "maintenance", "calibration", "battery", "test"]
HOUR_MS = 3_600_000


class Step(BaseModel):
    """Base of every step."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)


class OpenOrder(Step):
    """A new order: of an alarm, of a hazard, of a device or point, or of a place."""

    title: Annotated[str, Field(max_length=2000)] = ""
    site: Short = ""
    subject: Short = ""
    """site/agent, site/device or site/device/point."""
    place: Short = ""
    cause: Cause = "other"
    priority: Priority = "normal"
    alarm_id: int | None = None
    hazard: int | None = None
    owner: Annotated[str, Field(max_length=100)] = ""
    """Who is to do it: a login, or the name of a company; empty: nobody yet."""
    until: date | None = None
    """By the end of this day; null: as the priority says."""
    photo: Photo = ""


class Take(Step):
    """Take it on, or give it to somebody."""

    step: Literal["take"]
    owner: Annotated[str, Field(max_length=100)] = ""
    """Empty: who asks."""


class Plan(Step):
    """Another date or priority."""

    step: Literal["plan"]
    until: date | None = None
    priority: Priority | None = None
    note: Annotated[str, Field(max_length=2000)] = ""


class Use(Step):
    """Parts that were used."""

    step: Literal["use"]
    name: Name
    count: Annotated[int, Field(ge=1, le=100_000)] = 1


class WriteNote(Step):
    """Write something down, with a photo where it helps."""

    step: Literal["note"]
    note: Said
    photo: Photo = ""


class Finish(Step):
    """The work is done; the data has to show it."""

    step: Literal["done"]
    note: Said
    at: datetime | None = None
    """When it was finished; local time of the pages where it names no zone. null: now."""
    works: list[Work] = []
    """Kinds of work that are recorded with it: the dates of the device move."""
    photo: Photo = ""


class Reject(Step):
    """It is not done."""

    step: Literal["reject"]
    note: Said


class Close(Step):
    """A second person looked at work that no data speaks of."""

    step: Literal["close"]
    note: Annotated[str, Field(max_length=2000)] = ""


class Withdraw(Step):
    """It is not wanted any more."""

    step: Literal["withdraw"]
    note: Said


class OpenWindow(Step):
    """Begin a maintenance window for its device now."""

    step: Literal["window"]
    hours: Annotated[float, Field(gt=0, le=744)] = 2.0
    reason: Annotated[str, Field(max_length=2000)] = ""


AnyStep = Annotated[
    Take | Plan | Use | WriteNote | Finish | Reject | Close | Withdraw | OpenWindow, Field(discriminator="step")
]
STEP: TypeAdapter[Any] = TypeAdapter(AnyStep)
MAY: dict[str, frozenset[str]] = {
    "take": MAINTAIN,
    "plan": MAINTAIN,
    "use": MAINTAIN,
    "note": HANDLE,
    "done": MAINTAIN,
    "reject": HANDLE,
    "close": HANDLE,
    "withdraw": MAINTAIN,
    "window": MAINTAIN,
}


async def open_order(web: Web, who: Person, body: OpenOrder) -> dict[str, Any]:
    """Open an order; gives its row. One that is at hand already is asked for again, not doubled. Raises Refused."""
    given = body.model_dump(exclude={"until"}, exclude_none=True)
    site = body.site or body.subject.partition("/")[0]
    given["site"] = site
    if body.until is not None:
        given["deadline_ms"] = _future(web, end_of_day(web, site, body.until))
    if not who.may(MAY["take"]):
        given.pop("owner", None)
    result: dict[str, Any] = await commands.do(web, who, "order.open", **given)
    return result


async def take_step(web: Web, who: Person, order_id: int, body: Any) -> dict[str, Any]:
    """Take a step; gives the order's row as it is then.

    Raises:
        Refused: the role may not, there is no such order. What else commands.py raises.
    """
    if not who.may(MAY[body.step]):
        raise Refused(403, msgid("Your role does not allow this."))
    order = await find_order(web, order_id)
    given = body.model_dump(exclude={"step", "until", "at", "hours"}, exclude_none=True)
    if getattr(body, "until", None) is not None:
        given["deadline_ms"] = _future(web, end_of_day(web, order.site, body.until))
    if getattr(body, "at", None) is not None:
        given["at_ms"] = _moment(web, body.at)
    if body.step == "window":
        given["until_ms"] = web.now_ms() + int(body.hours * HOUR_MS)
    result: dict[str, Any] = await commands.do(web, who, f"order.{body.step}", id=order_id, **given)
    return result


async def find_order(web: Web, order_id: int) -> Order:
    """An order, open or not. Raises Refused."""
    found: Order | None = await web.read(web.ledger.entry, ORDER, order_id) if 0 < order_id < 2**62 else None
    if found is None:
        raise Refused(404, msgid("There is no such work order."))
    return found


def orders_at_hand(web: Web) -> list[Order]:
    """Orders that are not filed, as the live picture has them, by what to do first."""
    return at_hand(web, ORDER, place_of)


def place_of(order: Order) -> Key:
    """What to do first: what is late, what is urgent, then by date."""
    return (int(not order.is_overdue), PRIORITIES.index(order.priority), order.due_ms or order.from_ms, order.id)


def in_order(orders: Iterable[Order]) -> list[Order]:
    """Orders by what to do first."""
    return sorted(orders, key=place_of)


def _future(web: Web, at_ms: int) -> int:
    if at_ms <= web.now_ms():
        raise Refused(422, msgid("The date must lie in the future."))
    return at_ms


def _moment(web: Web, at: datetime) -> int:
    if at.tzinfo is None:
        at = at.replace(tzinfo=ZoneInfo(web.settings.timezone))
    at_ms = int(at.timestamp() * 1000)
    # A field for date and time has no seconds: "now" is the minute that is not over.
    return min(at_ms, web.now_ms()) if at_ms - web.now_ms() < 60_000 else at_ms
