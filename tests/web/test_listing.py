"""Lists of the API: every item once, page by page, whatever comes or goes between two pages."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import pytest
from fastapi.routing import APIRoute
from hypothesis import given
from hypothesis import strategies as st

from gateway.web.access import Refused
from gateway.web.app import APIS
from gateway.web.listing import Page, Turn, _read, cut, newest
from tests.web.station import Browser, Station, serving


class Thing(NamedTuple):
    """An item. id: its number; weight: what it is ordered by first."""

    weight: int
    id: int


_THINGS = st.lists(st.integers(0, 3), max_size=30).map(lambda ws: [Thing(w, n + 1) for n, w in enumerate(ws)])


@given(things=_THINGS, limit=st.integers(1, 9))
def test_every_item_comes_once_in_order_when_pages_are_turned(things: list[Thing], limit: int) -> None:
    """The pages put together are the list."""
    found: list[Thing] = []
    after: str | None = None
    for _ in range(len(things) + 1):
        part, following = cut(things, Turn(None if after is None else _read(after), limit), lambda t: (t.weight, t.id))
        found += part
        if following is None:
            break
        after = following
    assert found == sorted(things)


@given(things=_THINGS, limit=st.integers(1, 9), gone=st.integers(0, 29))
def test_nothing_is_passed_over_when_an_item_goes_between_two_pages(things: list[Thing], limit: int, gone: int) -> None:
    """Also when it is the one the cursor was made of."""
    first, after = cut(things, Turn(None, limit), lambda t: (t.weight, t.id))
    if after is None:
        return
    left = [thing for n, thing in enumerate(things) if n != gone]
    rest, _ = cut(left, Turn(_read(after), 500), lambda t: (t.weight, t.id))
    assert rest == [thing for thing in sorted(left) if thing not in first]


def test_rows_read_newest_first_have_a_next_page_when_one_more_was_found() -> None:
    """Read with one row more than the page holds."""
    rows = [Thing(0, n) for n in (9, 8, 7)]
    part, after = newest(rows, Turn(None, 2))
    assert ([row.id for row in part], after is not None) == ([9, 8], True)
    assert after is not None
    assert Turn(_read(after), 2).before == 8
    assert newest(rows[:2], Turn(None, 2))[1] is None


@pytest.mark.parametrize("cursor", ["?", "bm8", "WyJhIl0", "W10", "WzEsMl0"])
def test_a_cursor_of_no_list_is_refused_when_given(cursor: str) -> None:
    """With a sentence, not with an error or the wrong page."""
    with pytest.raises(Refused):
        _ = Turn(_read(cursor), 2).before


def test_every_list_of_the_api_is_turned_the_same_way_when_routes_are_read() -> None:
    """No route answers a bare array; whatever answers items takes `limit` and `after`."""
    for router in APIS:
        for route in router.routes:
            assert isinstance(route, APIRoute)
            model: Any = route.response_model
            assert getattr(model, "__origin__", None) is not list, f"{route.path}: answer with listing.Page"
            if isinstance(model, type) and issubclass(model, Page):
                names = {field.name for each in route.dependant.dependencies for field in each.query_params}
                assert {"after", "limit"} <= names, f"{route.path}: take turn: Turned"


async def test_alarms_come_page_by_page_when_asked_for(station: Station) -> None:
    """Open ones worst first, those of any age newest first; each once."""
    station.all_good()
    station.user("duty")
    severities = ("warning", "fire", "info", "critical", "warning")
    ids = [
        station.alarm("hydrant-pressure-low", f"shuiye/hydrant-01/p{n}", severity)
        for n, severity in enumerate(severities)
    ]
    async with station.gateway(), serving(station) as address, Browser(address) as browser:
        await browser.sign_in("duty")

        async def all_of(**terms: str) -> list[int]:
            found: list[int] = []
            after: dict[str, str] = {}
            while True:
                page = (await browser.get("/api/v1/alarms", params={"limit": "2", **terms, **after})).json()
                found += [alarm["id"] for alarm in page["items"]]
                if page["next"] is None:
                    return found
                after = {"after": page["next"]}

        async with asyncio.timeout(20):
            assert await all_of() == [ids[1], ids[3], ids[4], ids[0], ids[2]]
            assert await all_of(open="false") == ids[::-1]
        wrong = await browser.get("/api/v1/alarms", params={"after": "nonsense"})
        assert (wrong.status_code, wrong.json()["detail"][:6]) == (422, "after:")
