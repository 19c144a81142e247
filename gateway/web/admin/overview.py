"""What needs an administrator now: each with why, what to do, and where. What is well stands below, shorter."""

from __future__ import annotations

from importlib import metadata
from typing import Any, Literal, NamedTuple

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from contract.site import GATEWAY_DEVICE, SYSTEM_SITE
from gateway.backup.register import DONE, FAILED, Backup
from gateway.ledger import audit
from gateway.ledger.upgrade import VERSION
from gateway.web.admin.audit import Verified, last_verified
from gateway.web.admin.backups import backup_rows
from gateway.web.admin.channels import WayRow, way_rows
from gateway.web.api import PROBLEMS
from gateway.web.api_models import Answer
from gateway.web.context import Web, web_of
from gateway.web.listing import Page, Turned, cut
from gateway.web.picture import Picture
from gateway.web.render import page
from gateway.web.texts import Texts

router = APIRouter()
api = APIRouter()
_API: dict[str, Any] = {"responses": PROBLEMS}
State = Literal["bad", "unknown", "good"]
DAY_MS = 86_400_000
CERTIFICATE_DAYS = 30
DISK_PCT = 10
BACKUP_DAYS = 2
"""A daily backup that is older was missed once."""
VERIFIED_DAYS = 31
"""A month without looking is long for a trail that is to be trusted."""


class Todo(NamedTuple):
    """One thing. said: how it stands; do: what to do, empty where nothing; link: where."""

    name: str
    state: State
    title: str
    said: str
    do: str
    link: str


@router.get("/admin")
async def overview_page(request: Request) -> Response:
    """Everything an administrator looks after, what needs them first."""
    web = web_of(request)
    texts = web.texts(request)
    found = await todos(web, texts)
    head = await web.read(web.ledger.question, audit.head)
    return page(
        request, "admin.html", fragment="_admin.html",
        needed=[todo for todo in found if todo.state != "good"], well=[todo for todo in found if todo.state == "good"],
        program=metadata.version("weizhan"), schema=VERSION, head=head, file=web.configured.file,
        data_dir=web.ledger.path.parent, ledger_mb=_own(web.picture, "ledger_mb"), started_ms=web.picture.since_ms,
    )  # fmt: skip


async def todos(web: Web, texts: Texts) -> list[Todo]:
    """All of them, the worst first."""
    now_ms = web.now_ms()
    found = [
        _configuration(web.picture, texts),
        _certificates(web, texts),
        _disk(web.picture, texts),
        _backup(await backup_rows(web), texts, now_ms),
        _channels(await way_rows(web, texts), texts),
        _quarantine(web.picture, texts),
        _chain(await web.read(web.ledger.question, last_verified), texts, now_ms),
    ]
    order = ("bad", "unknown", "good")
    return sorted(found, key=lambda todo: order.index(todo.state))


def _configuration(picture: Picture, texts: Texts) -> Todo:
    title = texts("Configuration")
    fault = picture.configuration_fault
    if fault:
        do = texts("Mend the file; the gateway takes it by itself. Until then it runs on what it had.")
        return Todo("configuration", "bad", title, fault, do, "/admin/sites")
    if not picture.connected:
        return Todo("configuration", "unknown", title, texts("The gateway is not answering."),
                    texts("See whether it runs, and what its log says."), "/")  # fmt: skip
    return Todo("configuration", "good", title, texts("The files are in force as they are."), "", "/admin/sites")


def _certificates(web: Web, texts: Texts) -> Todo:
    title, days = texts("Certificates"), _own(web.picture, "certificate_days")
    if not web.configured.certificates and days is None:
        return Todo("certificates", "good", title, texts("None is in use here."), "", "/admin")
    if days is None:
        do = texts("Check that the files are there and that the gateway may read them.")
        return Todo("certificates", "unknown", title, texts("When they end is not known."), do, "/admin")
    said = texts("The first ends in %(n)s days.", n=int(days)) if days >= 0 else texts("One has ended.")
    if days < CERTIFICATE_DAYS:
        do = texts("Put new certificate files in place and start the pages (and the broker) again.")
        return Todo("certificates", "bad", title, said, do, "/admin")
    return Todo("certificates", "good", title, said, "", "/admin")


def _disk(picture: Picture, texts: Texts) -> Todo:
    title, free = texts("Disk"), _own(picture, "disk_free_pct")
    if free is None:
        return Todo("disk", "unknown", title, texts("How full it is, is not known."),
                    texts("See whether the gateway runs."), "/admin")  # fmt: skip
    said = texts("%(n)s %% are free.", n=f"{free:g}")
    if free < DISK_PCT:
        do = texts("Free space or give the machine a larger disk. Copy backups elsewhere and keep fewer.")
        return Todo("disk", "bad", title, said, do, "/admin/backups")
    return Todo("disk", "good", title, said, "", "/admin/backups")


def _backup(rows: list[Backup], texts: Texts, now_ms: int) -> Todo:
    title = texts("Backup")
    done = next((row for row in rows if row.state == DONE), None)
    last = next((row for row in rows if row.state in (DONE, FAILED)), None)
    if done is None:
        return Todo("backup", "bad", title, texts("None was made yet."),
                    texts("Make one now, and have one made every day."), "/admin/backups")  # fmt: skip
    said = texts("The last one covers everything up to %(time)s.", time=texts.stamp(done.covers_ms or done.from_ms))
    if done.problem:
        return Todo("backup", "bad", title, texts("The last one is damaged."), texts("Make another one and verify it."),
                    "/admin/backups")  # fmt: skip
    if last is not None and last.state == FAILED:
        return Todo("backup", "bad", title, said + " " + texts("A later one could not be made."),
                    texts("Read why, and make one again."), "/admin/backups")  # fmt: skip
    if done.from_ms < now_ms - BACKUP_DAYS * DAY_MS:
        return Todo("backup", "bad", title, said, texts("It is too old. Make one now, and have one made every day."),
                    "/admin/backups")  # fmt: skip
    if done.verified_ms is None:
        return Todo("backup", "unknown", title, said + " " + texts("Nobody has verified it."),
                    texts("Verify it: a backup counts once it was read through."), "/admin/backups")  # fmt: skip
    return Todo("backup", "good", title, said, "", "/admin/backups")


def _channels(ways: list[WayRow], texts: Texts) -> Todo:
    title, link = texts("Ways to people"), "/admin/channels"
    if not ways:
        return Todo("channels", "bad", title, texts("Nobody is told of alarms. Alarms stand on these pages only."),
                    texts("Enter people and ways in the configuration file."), link)  # fmt: skip
    failing = [way for way in ways if way.state == "failing"]
    if failing:
        said = texts("Messages fail: %(people)s", people=_names(failing))
        return Todo("channels", "bad", title, said, texts("Read why, mend it, and send a test."), link)
    unproven = [way for way in ways if way.proven_ms is None and way.last_receipt_ms is None]
    if unproven:
        said = texts(
            "%(n)s of %(all)s are not proven: %(people)s", n=len(unproven), all=len(ways), people=_names(unproven)
        )
        return Todo("channels", "unknown", title, said, texts("Send each a test and see that it arrives."), link)
    return Todo("channels", "good", title, texts("All %(n)s are proven.", n=len(ways)), "", link)


def _names(ways: list[WayRow]) -> str:
    return ", ".join(dict.fromkeys(f"{way.name} ({way.channel})" for way in ways[:5])) + ("…" if len(ways) > 5 else "")


def _quarantine(picture: Picture, texts: Texts) -> Todo:
    title, count = texts("Quarantine"), _own(picture, "quarantine_count")
    waiting = len(picture.unknown_devices)
    link = "/devices"
    if count is None:
        return Todo("quarantine", "unknown", title, texts("What is in it is not known."),
                    texts("See whether the gateway runs."), link)  # fmt: skip
    if count or waiting:
        said = texts("%(n)s refused messages, %(m)s devices nobody approved.", n=int(count), m=waiting)
        do = texts("Approve what is ours, and find out where the rest comes from.")
        return Todo("quarantine", "unknown", title, said, do, link)
    return Todo("quarantine", "good", title, texts("Empty."), "", link)


def _chain(last: Verified | None, texts: Texts, now_ms: int) -> Todo:
    title, link = texts("Audit trail"), "/admin/audit"
    if last is None:
        return Todo("audit", "unknown", title, texts("It was never verified."), texts("Verify it now."), link)
    if last.problem:
        return Todo(
            "audit", "bad", title, texts("Something was changed"), texts("Read what, and keep the ledger."), link
        )
    said = texts("Whole, verified %(ago)s.", ago=texts.ago(last.at_ms, now_ms))
    if last.at_ms < now_ms - VERIFIED_DAYS * DAY_MS:
        return Todo("audit", "unknown", title, said, texts("Verify it again and save the signed head."), link)
    return Todo("audit", "good", title, said, "", link)


def _own(picture: Picture, point: str) -> float | None:
    """What the gateway says of itself; None where it says nothing now."""
    found = picture.values.get(f"{SYSTEM_SITE}/{GATEWAY_DEVICE}/{point}")
    known = found is not None and picture.connected and isinstance(found.value, int | float)
    return float(found.value) if known and found is not None else None  # type: ignore[arg-type] # a number, as asked above


class TodoAnswer(Answer):
    """Something an administrator looks after, in the language of the request."""

    name: str
    state: str
    """bad, unknown or good."""
    title: str
    said: str
    do: str
    link: str


@api.get("/api/v1/administration", **_API)
async def administration(request: Request, turn: Turned) -> Page[TodoAnswer]:
    """What needs an administrator now."""
    web = web_of(request)
    found, after = cut(await todos(web, web.texts(request)), turn, lambda todo: (todo.name,))
    return Page(items=[TodoAnswer(**todo._asdict()) for todo in found], next=after)
