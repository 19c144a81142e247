"""People find every page that stands by itself, and only what they may open."""

from __future__ import annotations

import pytest

from gateway.web.access import ROLES, ROUTES, Person
from gateway.web.navigation import SECTIONS, place_of, sections_of


def person(role: str) -> Person:
    """Somebody of a role."""
    return Person("wang", role, "csrf")


@pytest.mark.parametrize("role", ROLES)
def test_a_person_is_shown_only_pages_they_may_open_when_signed_in(role: str) -> None:
    """No link leads to a refusal."""
    shown = [page.path for section in sections_of(person(role)) for page in section.pages]
    assert [path for path in shown if role not in ROUTES["GET", path]] == []


def test_every_page_of_a_section_is_a_route_when_pages_are_listed() -> None:
    """A page in the list that nobody could open would be missing from every bar unnoticed."""
    assert [page.path for section in SECTIONS for page in section.pages if ("GET", page.path) not in ROUTES] == []


@pytest.mark.parametrize(
    ("path", "section", "page"),
    [
        ("/", "board", "/"),
        ("/devices/shuiye/hydrant-01", "devices", "/devices"),
        ("/rules/hydrant-pressure-low", "alarms", "/rules"),
        ("/shift/codes", "duty", "/shift"),
    ],
)
def test_an_address_belongs_to_the_nearest_page_when_it_has_none_of_its_own(path: str, section: str, page: str) -> None:
    """The bar shows where one is, on pages below others too."""
    found = place_of(path, sections_of(person("administrator")))
    assert (found[0].name if found[0] else None, found[1].path if found[1] else None) == (section, page)


def test_an_address_of_no_section_marks_nothing_when_opened() -> None:
    """The board is at `/`, but not everything is a part of the board."""
    assert place_of("/sign-in", sections_of(person("duty"))) == (None, None)
