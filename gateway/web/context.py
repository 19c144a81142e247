"""What the routes work with, put together once in app.py."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import jinja2
from starlette.requests import Request

from contract.errors import RetryLater
from contract.site import SYSTEM_SITE
from gateway.exports.checking_desk import CheckingDesk
from gateway.exports.desk import Desk
from gateway.history.base import History
from gateway.ledger.records import Session, User
from gateway.web.access import Person
from gateway.web.admin.desk import SiteDesk
from gateway.web.admin.jobs import Jobs
from gateway.web.areas import AreaLedger, inventory_within, picture_within
from gateway.web.brake import Brake as SignInBrake
from gateway.web.configured import Configured
from gateway.web.guard import Cookies, Guard
from gateway.web.inventory import Inventory
from gateway.web.latency import Latency
from gateway.web.ledger import WebLedger
from gateway.web.link import Link, Through
from gateway.web.picture import Picture
from gateway.web.receipts import Brake
from gateway.web.registers.report_desk import ReportDesk
from gateway.web.sessions import Sessions
from gateway.web.settings import WebSettings
from gateway.web.sign_in import SignIn
from gateway.web.stream import Hub
from gateway.web.texts import Language, Texts, choose_language
from gateway.web.upkeep.lab_desk import LabDesk

T = TypeVar("T")
LANGUAGE_COOKIE = "weizhan_language"
THEME_COOKIE = "weizhan_theme"
MOST_NARROWED = 32
"""Different sets of sites for which a context is kept."""


@dataclass(kw_only=True)
class Web:
    """Everything a route may need."""

    settings: WebSettings
    now_ms: Callable[[], int]
    inventory: Inventory
    ledger: WebLedger
    history: History
    picture: Picture
    hub: Hub
    link: Link | Through
    sign_in: SignIn
    cookies: Cookies
    guard: Guard
    sessions: Sessions
    catalogues: dict[Language, dict[str, str]]
    pages: jinja2.Environment
    reports: ReportDesk
    desk: Desk
    jobs: Jobs
    site_desk: SiteDesk = field(default_factory=SiteDesk)
    configured: Configured = field(default_factory=Configured)
    latency: Latency = field(default_factory=Latency)
    receipts: Brake = field(default_factory=Brake)
    lab: LabDesk = field(default_factory=LabDesk)
    checking: CheckingDesk = field(default_factory=CheckingDesk)
    labels: Brake = field(default_factory=Brake)
    """How often an address may open labels of devices."""
    pairing: SignInBrake = field(default_factory=lambda: SignInBrake(time.monotonic))
    """Holds up who guesses the codes of wall displays."""
    whole: Web | None = None
    """The context of all areas, where this is the one of a person of some; commands wait for its picture."""
    narrowed: dict[frozenset[str], tuple[tuple[object, ...], Web]] = field(default_factory=dict)
    """Contexts of people of some areas, with what they were made of."""
    at_hand: dict[str, dict[int, Any]] = field(default_factory=dict)
    """Rows of registers that were made already (registers/at_hand.py): kind -> number -> row."""
    counted: dict[frozenset[str] | None, Any] = field(default_factory=dict)
    """Counts of hazards on the page of the list (registers/hazard_counting.py), by the sites they are of."""
    site_changes: dict[str, Any] = field(default_factory=dict)
    """Changes of the devices of each site by the versions of its file (records/site_changes.py)."""
    former: dict[str, tuple[tuple[object, ...], list[Any]]] = field(default_factory=dict)
    """Devices that were taken out of each site (records/former.py), with what they were read from."""
    approved_at: tuple[Inventory, int] | None = None
    """What the pages knew of when the ledger was last asked for approved devices."""
    decoding: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while a photo is decoded: one at a time is in memory."""

    async def read(self, question: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Ask the ledger without holding up the loop. Raises RetryLater when there is none."""
        return await asyncio.to_thread(question, *args, **kwargs)

    async def session(self, token_hash: str) -> tuple[Session, User | None] | None:
        """A session and whose it is; None when there is no such session."""

        def both() -> tuple[Session, User | None] | None:
            session = self.ledger.session(token_hash)
            return (session, self.ledger.user(session.user)) if session else None

        return await self.read(both)

    async def accounts(self, roles: Collection[str], site: str = "") -> list[User]:
        """Who may sign in, has one of the roles and sees the site, or some of the sites of this context: those to whom
        something there can be given. By name.
        """
        wanted = {site} if site not in ("", SYSTEM_SITE) else set(self.inventory.sites)
        grid = self.all.inventory.grid
        return [
            user
            for user in await self.read(self.ledger.users)
            if user.role in roles
            and user.disabled_ms is None
            and ((reach := grid.reach(user.area)) is None or not wanted.isdisjoint(reach))
        ]

    def sites_of(self, person: Person) -> frozenset[str] | None:
        """Sites and areas the person is for, as rows of registers name them; None: all there are."""
        return self.all.inventory.grid.reach(person.area)

    def within(self, sites: frozenset[str]) -> Web:
        """The context of these sites alone, as it is now; made anew once something moved."""
        picture, inventory = self.picture, self.inventory
        basis = (picture, picture.version, picture.since_ms, inventory, len(inventory.devices))
        kept = self.narrowed.get(sites)
        if kept is None or kept[0] != basis:
            narrow = dataclasses.replace(
                self,
                inventory=inventory_within(inventory, sites),
                ledger=AreaLedger(self.ledger, sites),
                picture=picture_within(picture, sites, self.now_ms),
                whole=self,
            )
            while len(self.narrowed) >= MOST_NARROWED:
                del self.narrowed[next(iter(self.narrowed))]
            kept = self.narrowed[sites] = (basis, narrow)
        return kept[1]

    @property
    def all(self) -> Web:
        """The context of all areas."""
        return self.whole or self

    async def refresh_approvals(self, *, anew: bool = False) -> None:
        """Know the devices approved since; a ledger that cannot be read now changes nothing.

        The gateway tells of each approval, so the ledger is asked only when it told of something or is away. anew: ask
        in any case.
        """
        if self.whole is not None:
            await self.whole.refresh_approvals(anew=anew)
            return
        basis = (self.inventory, self.picture.changes)
        if basis == self.approved_at and self.picture.connected and not anew:
            return
        try:
            basis[0].approve(await self.read(self.ledger.approved_devices))
        except RetryLater:
            return
        self.approved_at = basis

    def texts(self, request: Request) -> Texts:
        """The reader's language."""
        chosen = request.query_params.get("language") or request.cookies.get(LANGUAGE_COOKIE)
        language = choose_language(chosen, request.headers.get("accept-language"), self.settings.language)
        return Texts(language, self.catalogues[language], ZoneInfo(self.settings.timezone))


def web_of(request: Request) -> Web:
    """The context of the app that serves this request; of a person of one area, as far as that goes."""
    web: Web = request.app.state.web
    sites: frozenset[str] | None = getattr(request.state, "sites", None)
    person: Person | None = getattr(request.state, "person", None)
    narrow = web if sites is None else web.within(sites)
    if person is None or not person.via:
        return narrow
    return dataclasses.replace(narrow, link=narrow.link.through(person.via, person.area))


def person_of(request: Request) -> Person:
    """Who is signed in, on a route that needs it."""
    person: Person = request.state.person
    return person
