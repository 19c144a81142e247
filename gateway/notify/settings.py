"""Settings of notification: people and the ways to them, escalation chains, routes, budget, proof of the path."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator, model_validator

from contract.configfile import Section
from contract.errors import ConfigError
from contract.profile import Ident
from rules.model import Severity

Language = Literal["zh", "en"]
SCHEMES = [
    "dingtalk", "feishu", "lark", "wecombot", "bark", "barks", "mailto", "mailtos", "ntfy", "ntfys", "gotify",
    "gotifys", "pover", "pushover", "pushdeer", "pushdeers", "schan", "pushplus", "tgram", "slack",
]  # fmt: skip
"""Ways out that reach a service over the network and nothing else: no files, programs, desktops or logs."""
_CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
SECRET_BYTES = 4096


class ScreenChannel(Section):
    """The duty screen: the pages that are open at the duty desk."""

    kind: Literal["screen"]
    id: Ident = "screen"
    """Name of this way among the person's ways."""


class AppriseChannel(Section):
    """A service that the library apprise speaks to: DingTalk, WeCom, Feishu, e-mail, ntfy and others."""

    kind: Literal["apprise"]
    id: Ident
    """Name of this way among the person's ways."""
    url_file: Path
    """File with the service's address in apprise's form (one line, mode 0600): it holds the secret."""


class WebhookChannel(Section):
    """A web address of one's own that takes signed JSON (docs/operations.md has its form)."""

    kind: Literal["webhook"]
    id: Ident
    """Name of this way among the person's ways."""
    url: str
    """https address; http only for this machine."""
    secret_file: Path
    """File with the secret both sides share (16 characters at least, mode 0600)."""
    receipt: bool = False
    """The answer must carry the receipt; without it the message counts as not delivered when the path is proven."""

    @model_validator(mode="after")
    def _secure(self) -> WebhookChannel:
        parts = urlsplit(self.url)
        if parts.username or parts.password or parts.query:
            raise ValueError("url: got a user or a query in it, want neither. A secret stands in secret_file.")
        local = parts.hostname in ("127.0.0.1", "::1", "localhost")
        if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and local)):
            raise ValueError(f"url: got {self.url[:60]!r}, want https://…, or http:// to this machine.")
        return self


Channel = Annotated[ScreenChannel | AppriseChannel | WebhookChannel, Field(discriminator="kind")]


class QuietHours(Section):
    """Hours (of `notify.time_zone`) in which a person is spared. Fire is never held back."""

    from_: str = Field(alias="from", pattern=_CLOCK.pattern)
    """Begin, such as 22:30."""
    to: str = Field(pattern=_CLOCK.pattern)
    """End, such as 06:30; the next day when it is before the begin."""
    severities: list[Literal["critical", "warning", "info"]] = ["warning", "info"]
    """What waits until the end of the quiet hours."""

    def holds(self, severity: str, local: datetime) -> bool:
        """Whether an alarm of that severity waits at that local time."""
        if severity not in self.severities:
            return False
        now = local.strftime("%H:%M")
        return self.from_ <= now < self.to if self.from_ <= self.to else now >= self.from_ or now < self.to


class Person(Section):
    """Somebody who is told."""

    id: Ident
    """The name the person signs in with, where there is one."""
    name: str = Field(min_length=1, max_length=60)
    """Name for people."""
    language: Language = "zh"
    """Language of the messages."""
    channels: list[Channel] = Field(min_length=1, max_length=8)
    """Ways to the person; every message goes by each of them."""
    quiet_hours: list[QuietHours] = []
    """When the person is spared what can wait."""


class Step(Section):
    """Who is told how long after the alarm."""

    after_s: float = Field(ge=0, le=86400)
    """Seconds after the alarm was recorded, unless somebody has acknowledged it."""
    people: list[Ident] = Field(min_length=1, max_length=50)
    """Ids of those who are told."""


class Chain(Section):
    """Who is told first, and who next while nobody acknowledges."""

    id: Ident
    """Name of the chain, for routes."""
    steps: list[Step] = Field(min_length=1, max_length=20)
    """Who is told when, in order."""
    repeat_s: float | None = Field(default=300.0, ge=10, le=86400)
    """Everybody told so far is told again this often until somebody acknowledges; nothing: never."""

    @model_validator(mode="after")
    def _in_order(self) -> Chain:
        times = [step.after_s for step in self.steps]
        if times != sorted(set(times)):
            raise ValueError(f"steps: got after_s {times}, want each later than the one before.")
        return self


class Route(Section):
    """Which chain an alarm goes by. The first route that fits counts; without one nobody is told."""

    chain: Ident
    """Id of the chain."""
    severities: list[Severity] = ["fire", "critical"]
    """What goes this way."""
    sites: list[Ident] = []
    """Sites it is for; none named: all. The gateway's own faults are of the site `system`."""


class Budget(Section):
    """How many messages about anything but fire a person gets: `burst` at once, then one every `refill_s`."""

    burst: int = Field(default=8, ge=1, le=100)
    """Messages that may go out at once after a quiet time."""
    refill_s: float = Field(default=30.0, ge=1, le=3600)
    """Seconds after which one more may go out."""
    gather_s: float = Field(default=2.0, ge=0, le=60)
    """Seconds the first one waits for others of the same cause."""


class ProofSettings(Section):
    """The test of the whole path, from an agent to a person's receipt."""

    enabled: bool = True
    """Whether paths are tested at all."""
    period_s: float = Field(default=6 * 3600.0, ge=2, le=7 * 86400)
    """Seconds between two tests."""
    timeout_s: float = Field(default=60.0, ge=0.5, le=3600)
    """Seconds each test waits for its last hop. A test that failed is done once more before it counts."""
    channels: bool = True
    """Whether the ways to the people are tested too (a marked message each); people in quiet hours are left out."""

    @model_validator(mode="after")
    def _fits(self) -> ProofSettings:
        if 2 * self.timeout_s > self.period_s:
            raise ValueError(f"timeout_s: got {self.timeout_s:g}, want at most half of period_s ({self.period_s:g}).")
        return self


class NotifySettings(Section):
    """Who is told of alarms, how and when. Without people alarms stand on the pages only."""

    people: list[Person] = []
    """Who may be told."""
    chains: list[Chain] = []
    """Who is told first, and who next."""
    routes: list[Route] = []
    """Which alarms go by which chain."""
    budget: Budget = Budget()
    """How many messages about anything but fire a person gets."""
    proof: ProofSettings = ProofSettings()
    """The test of the whole path."""
    time_zone: str = "Asia/Shanghai"
    """Time zone of quiet hours and of the times in messages."""
    public_url: str | None = Field(default=None, pattern=r"^https?://[^/?#]+$")
    """Address of the pages as the people's phones reach them; messages then carry a link that confirms them."""
    schemes: list[str] = SCHEMES
    """Services of apprise that may be used, by the word before `://`."""
    private_addresses: bool = False
    """Whether messages may go to servers of one's own network (RFC 1918, loopback); link-local is never allowed."""
    timeout_s: float = Field(default=10.0, ge=0.5, le=60)
    """Seconds a service may take for one message."""
    retry_s: float = Field(default=30.0, ge=0.1, le=600)
    """Longest pause between two tries."""
    keep_trying_s: float = Field(default=3600.0, ge=10, le=86400)
    """Seconds after which a message that could not be sent is given up; fire only once its alarm is over."""
    receipt_hours: float = Field(default=24.0, gt=0, le=720)
    """Hours a confirming link works."""

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError) as exc:
            raise ValueError(f"got {name!r}, want a time zone such as Asia/Shanghai.") from exc
        return name

    def chain_for(self, severity: str, site: str) -> Chain | None:
        """The chain an alarm goes by; None when nobody is to be told."""
        for route in self.routes:
            if severity in route.severities and (not route.sites or site in route.sites):
                return next((chain for chain in self.chains if chain.id == route.chain), None)
        return None


def read_secret(path: Path) -> str:
    """The one line of a secret file that only its owner can read. Raises ConfigError without its content."""
    try:
        mode = path.stat().st_mode
        with path.open("rb") as file:
            raw = file.read(SECRET_BYTES + 1)
    except OSError as exc:
        raise ConfigError(f"got {path}: {exc.strerror}, want a readable file. Put the secret there.") from exc
    if mode & 0o077:
        raise ConfigError(f"got {path} with mode {mode & 0o777:04o}, want 0600. chmod 600 {path}.")
    try:
        text = raw.decode("utf-8").strip()
    except UnicodeDecodeError:
        text = ""
    if not text or len(raw) > SECRET_BYTES or len(text.splitlines()) != 1:
        raise ConfigError(f"got {path}, which has not exactly one line of text. Put the secret there, alone.")
    return text


def channels_of(settings: NotifySettings) -> Iterator[tuple[Person, ScreenChannel | AppriseChannel | WebhookChannel]]:
    """Every way to every person."""
    for person in settings.people:
        for channel in person.channels:
            yield person, channel
