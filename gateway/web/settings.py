"""Settings of the web process."""

from __future__ import annotations

from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator, model_validator

from contract.configfile import Section
from gateway.web.stream_shares import Shares


class ReportForm(Section):
    """The form in which the public reports hazards (/report): without an account, looked at by a person first."""

    open: bool = False
    """Whether it is there at all."""
    per_address_hour: int = Field(default=5, ge=1, le=1000)
    """Reports one address may send in an hour."""
    per_hour: int = Field(default=60, ge=1, le=10_000)
    """Reports taken in an hour by each printed link, and as many by none."""
    call: str = Field(default="96119", max_length=40)
    """Number to call instead, told where the form cannot take a report; fires are 119 in any case."""


class WebSettings(Section):
    """Where the pages are served, how people stay signed in, how times are shown."""

    host: str = "127.0.0.1"
    """Address to listen on. 0.0.0.0 for every interface; use TLS then."""
    port: int = Field(default=8080, ge=0, le=65535)
    """Port to listen on; 0 lets the system choose one."""
    public_url: str | None = None
    """Address people type, when a proxy stands in front, e.g. https://weizhan.example.cn."""
    tls_cert_file: Path | None = None
    """Certificate chain, PEM. With the key, pages are served over HTTPS and cookies are marked secure."""
    tls_key_file: Path | None = None
    """Private key of the certificate, PEM."""
    trusted_proxies: list[str] = []
    """Addresses of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed."""
    session_hours: float = Field(default=12.0, ge=0.25, le=744)
    """How long a sign-in lasts, hours: one shift."""
    idle_minutes: float = Field(default=60.0, ge=1, le=44640)
    """A sign-in that nobody used for so long ends. An open page of the duty role counts as used: the desk is manned."""
    password_classes: int = Field(default=0, ge=0, le=4)
    """Kinds of characters a new password needs (capital, small, digit, other); 0: any. For assessors who ask for it."""
    password_days: float = Field(default=0, ge=0, le=3660)
    """Days after which a new password is asked for; 0: never. For assessors who ask for it."""
    language: Literal["zh", "en"] = "zh"
    """Language where the browser states no preference."""
    timezone: str = "Asia/Shanghai"
    """Time zone of the times shown; everything is stored in UTC."""
    stream_clients: int = Field(default=200, ge=1, le=5000)
    """Most screens with a live stream at once; further ones say so and ask every two seconds instead."""
    stream_clients_session: int = Field(default=20, ge=1, le=5000)
    """Most live streams of one sign-in, token or wall: no browser needs as many."""
    stream_clients_account: int = Field(default=60, ge=1, le=5000)
    """Most live streams of one account, whatever it is signed in from. Raise it where many desks share one account."""
    stream_clients_desk: int = Field(default=40, ge=0, le=5000)
    """Of all live streams, kept for browsers of duty accounts and for walls; at most half of all."""
    report_form: ReportForm = ReportForm()
    """The form for the public."""

    @property
    def shares(self) -> Shares:
        """How the live streams are shared out."""
        return Shares(
            self.stream_clients, self.stream_clients_session, self.stream_clients_account, self.stream_clients_desk
        )

    @property
    def secure(self) -> bool:
        """Whether people reach the pages over HTTPS only."""
        return self.tls_cert_file is not None or (self.public_url or "").startswith("https://")

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError) as exc:
            raise ValueError(f"got {name!r}, want a time zone such as Asia/Shanghai.") from exc
        return name

    @field_validator("public_url")
    @classmethod
    def _is_address(cls, url: str | None) -> str | None:
        if url is not None and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc):
            raise ValueError(f"got {url!r}, want https://name or http://name.")
        return url

    @model_validator(mode="after")
    def _both_or_none(self) -> WebSettings:
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ValueError("tls_cert_file and tls_key_file: got one of them, want both or neither.")
        return self


def hosts_of(settings: WebSettings) -> frozenset[str]:
    """Host (and port) people type, where a proxy stands in front."""
    return frozenset({urlsplit(settings.public_url).netloc}) if settings.public_url else frozenset()
