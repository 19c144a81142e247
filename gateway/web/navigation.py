"""The pages as people find them: sections in the bar on top, and the pages of each in a row below it.

Who sees a page here is who may open it (access.ROUTES); `roles` of a section only says whom it is made for.
"""

from __future__ import annotations

from typing import NamedTuple

from gateway.web.access import ROLES, ROUTES, Person
from gateway.web.texts import msgid


class Page(NamedTuple):
    """A page with an address of its own. title: msgid. Addresses below its own count as part of it."""

    path: str
    title: str


class Section(NamedTuple):
    """Pages that belong together. title: msgid; icon: a symbol of static/icons.svg."""

    name: str
    title: str
    icon: str
    pages: tuple[Page, ...]
    roles: tuple[str, ...] = ROLES


SECTIONS: tuple[Section, ...] = (
    Section("board", msgid("Board"), "board", (Page("/", msgid("Board")),)),
    Section("map", msgid("Map"), "map", (Page("/map", msgid("Map")),)),
    Section("devices", msgid("Devices"), "devices", (Page("/devices", msgid("Devices")),)),
    Section(
        "alarms",
        msgid("Alarms"),
        "bell",
        (
            Page("/alarms", msgid("Alarms")),
            Page("/drills", msgid("Drills")),
            Page("/maintenance", msgid("Maintenance windows")),
            Page("/notifications", msgid("Notifications")),
            Page("/quality", msgid("Alarm quality")),
            Page("/rules", msgid("Rules")),
        ),
    ),
    Section(
        "duty",
        msgid("Duty"),
        "duty",
        (
            Page("/station", msgid("Readiness")),
            Page("/shift", msgid("Shift")),
            Page("/people", msgid("People")),
            Page("/roster", msgid("Roster")),
            Page("/equipment", msgid("Station equipment")),
            Page("/incidents", msgid("Incidents")),
            Page("/patrols", msgid("Patrols")),
            Page("/training", msgid("Drills and training")),
            Page("/hazards", msgid("Hazards")),
            Page("/grid", msgid("Grid")),
            Page("/assessment", msgid("Assessment")),
        ),
    ),
    Section(
        "upkeep",
        msgid("Upkeep"),
        "upkeep",
        (
            Page("/upkeep", msgid("Health")),
            Page("/upkeep/orders", msgid("Work orders")),
            Page("/upkeep/dates", msgid("Dates")),
            Page("/upkeep/lines", msgid("Lines")),
            Page("/upkeep/quarantine", msgid("Quarantine")),
            Page("/upkeep/profiles", msgid("Profiles")),
            Page("/upkeep/lab", msgid("Rule lab")),
        ),
        ("maintainer", "administrator"),
    ),
    Section(
        "records",
        msgid("Records"),
        "records",
        (
            Page("/records", msgid("Devices and their life")),
            Page("/records/readiness", msgid("Readiness of a month")),
            Page("/records/rectification", msgid("Rectification of a month")),
            Page("/records/exports", msgid("Exports")),
            Page("/records/check", msgid("Check an export")),
        ),
    ),
    Section(
        "admin",
        msgid("Administration"),
        "admin",
        (
            Page("/admin", msgid("Overview")),
            Page("/admin/accounts", msgid("Accounts")),
            Page("/admin/walls", msgid("Wall displays")),
            Page("/admin/channels", msgid("Ways to people")),
            Page("/admin/sites", msgid("Site files")),
            Page("/admin/backups", msgid("Backups")),
            Page("/admin/audit", msgid("Audit trail")),
            Page("/api", msgid("API reference")),
        ),
        roles=("administrator",),
    ),
)


def sections_of(person: Person) -> list[Section]:
    """The sections of a person, each with the pages they may open."""
    made_for = (section for section in SECTIONS if person.role in section.roles)
    found = [
        section._replace(pages=tuple(page for page in section.pages if _may_open(person, page))) for section in made_for
    ]
    return [section for section in found if section.pages]


def place_of(path: str, sections: list[Section]) -> tuple[Section | None, Page | None]:
    """Section and page an address belongs to: that of the longest beginning."""
    places = [(section, page) for section in sections for page in section.pages if _is_below(path, page.path)]
    return max(places, key=lambda place: len(place[1].path), default=(None, None))


def _may_open(person: Person, page: Page) -> bool:
    roles = ROUTES.get(("GET", page.path))
    return roles is not None and person.may(roles)


def _is_below(path: str, head: str) -> bool:
    return path == head or (head != "/" and path.startswith(head + "/"))
