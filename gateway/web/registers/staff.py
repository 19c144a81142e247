"""What pages about people share: who is who, masks, forms."""

from __future__ import annotations

import re
import secrets
import unicodedata
from collections.abc import Mapping
from datetime import date
from itertools import pairwise
from typing import Any, get_args

import msgspec

from contract.station import CertificateKind
from gateway.duty.people import Person, Role
from gateway.duty.roster_check import RosterDay
from gateway.ledger.personal import Identity
from gateway.web.access import ADMINISTER, Refused
from gateway.web.access import Person as SignedIn
from gateway.web.context import Web
from gateway.web.texts import Texts, msgid

KINDS: tuple[CertificateKind, ...] = get_args(CertificateKind)
ROLES: tuple[Role, ...] = get_args(Role)
PIN_DIGITS = 6
"""Length of a generated PIN, and the least of one's own."""


def people_now(web: Web) -> dict[int, Person]:
    """Everybody who is there, by number."""
    rows = web.picture.entries.get("person", {})
    return {number: msgspec.convert(row, Person) for number, row in sorted(rows.items())}


def roster_now(web: Web) -> list[RosterDay]:
    """Every roster day that is kept at hand."""
    return [msgspec.convert(row, RosterDay) for row in web.picture.entries.get("roster", {}).values()]


async def note_seen(web: Web, who: SignedIn, what: str) -> None:
    """Write down that somebody reads telephone numbers and certificates whole. Raises RetryLater: then nobody reads."""
    if who.may(ADMINISTER):
        await web.link.ask("personal.seen", who.name, what=what)


async def people_names(web: Web) -> dict[int, str]:
    """Name of everybody whose name is known, those who left included; those erased are not in it."""
    return {number: each.name for number, each in (await web.read(web.ledger.identities)).items()}


def post_titles(web: Web, site: str, texts: Texts) -> dict[str, str]:
    """Name of each post of the site's station."""
    known = web.inventory.sites.get(site)
    station = known.station if known is not None else None
    return {post.id: post.title.get(texts.language) for post in station.posts} if station is not None else {}


def shown_number(number: str, who: SignedIn) -> str:
    """A telephone or certificate number as this reader may see it: 138****5678."""
    if who.may(ADMINISTER) or not number:
        return number
    kept = 3 if len(number) >= 10 else 1
    last = 4 if len(number) >= 10 else 1
    return f"{number[:kept]}{'*' * max(3, len(number) - kept - last)}{number[-last:]}"


def shown_identity(identity: Identity | None, who: SignedIn) -> Identity:
    """Who somebody is, as this reader may see it; the hash of a PIN never leaves."""
    if identity is None:
        return Identity(0, "", "", {}, None)
    numbers = {kind: shown_number(number, who) for kind, number in identity.certificates.items()}
    return identity._replace(phone=shown_number(identity.phone, who), certificates=numbers, pin_hash=None)


def read_person(form: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a person's form, as the command wants them. Raises Refused naming what is wrong."""
    name = plain(form.get("name", ""))
    if not 1 <= len(name) <= 60:
        raise Refused(422, msgid("Enter a name of at most 60 characters."))
    certificates = []
    for kind in KINDS:
        if form.get(f"has_{kind}"):
            until = str(form.get(f"until_{kind}", ""))
            try:
                last = date.fromisoformat(until).isoformat() if until else None
            except ValueError as exc:
                raise Refused(422, msgid("A date is not one.")) from exc
            number = plain(form.get(f"number_{kind}", ""))[:60]
            certificates.append({"kind": kind, "number": number, "until": last})
    return {
        "site": str(form.get("site", "")),
        "name": name,
        "phone": read_phone(form.get("phone", "")),
        "roles": [role for role in ROLES if form.get(f"role_{role}")],
        "certificates": certificates,
        "user": plain(form.get("user", "")),
    }


def plain(value: object) -> str:
    """Text of a field: full-width digits and letters as ASCII, no control characters, no space around it."""
    text = unicodedata.normalize("NFKC", str(value))
    return "".join(c for c in text if unicodedata.category(c)[0] != "C").strip()


def read_phone(value: object) -> str:
    """A telephone number without what people put between its digits. Raises Refused."""
    phone = re.sub(r"[\s\-()./]", "", plain(value))
    if phone and not re.fullmatch(r"\+?[0-9]{5,20}", phone):
        raise Refused(422, msgid("A telephone number has 5 to 20 digits."))
    return phone


def new_pin() -> str:
    """A PIN nobody guesses first."""
    while True:
        pin = f"{secrets.randbelow(10**PIN_DIGITS):0{PIN_DIGITS}d}"
        if pin_problem(pin) is None:
            return pin


def pin_problem(pin: str) -> str | None:
    """Why a PIN is not taken, as a msgid; None when it is fine."""
    if not re.fullmatch(r"[0-9]{6,12}", pin):
        return msgid("A PIN has 6 to 12 digits.")
    steps = {(int(b) - int(a)) % 10 for a, b in pairwise(pin)}
    if len(steps) == 1 or len(set(pin)) < 3:
        return msgid("This PIN is one of the first that are guessed. Choose another.")
    return None
