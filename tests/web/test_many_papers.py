"""Work orders and hazards by the thousand: a page at a time, in order, each once; counts are those of the ledger."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.paper_rows import write_rows
from gateway.control.protocol import Ask
from gateway.ledger.entries import entries
from gateway.work.hazard_counts import count_hazards, counts_hold_ms
from gateway.work.rectification import HAZARD, Hazard, Overdue, Round
from tests.web.office import Office, open_office
from tests.web.station import csrf_in

ROWS, OPEN = 700, 250


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    """A real gateway on a ledger of years."""
    write_rows(tmp_path / "o" / "d", "shuiye", ROWS, OPEN)
    async with open_office(tmp_path / "o") as made:
        yield made


async def numbers(office: Office, address: str, of: str) -> list[int]:
    """Numbers on a page, in order."""
    text = (await office.browser.get(address)).text
    return [int(n) for n in re.findall(rf'id="{of}-(\d+)"', text)]


async def every(office: Office, address: str) -> list[dict[str, Any]]:
    """All of a list of the API, page by page."""
    found, after = [], ""
    while True:
        answer = (await office.browser.get(f"{address}&limit=90{after}")).json()
        found += answer["items"]
        if answer["next"] is None:
            return found
        after = f"&after={answer['next']}"


@pytest.mark.parametrize(
    ("page", "api", "of"), [("/upkeep/orders", "orders", "order"), ("/hazards", "hazards", "hazard")]
)
async def test_each_open_row_stands_once_in_order_when_pages_are_turned(
    office: Office, page: str, api: str, of: str
) -> None:
    """Pages and API agree; what is late comes first; a page beyond the last is the last; closed ones are turned too."""
    told = await every(office, f"/api/v1/{api}?show=open")
    assert len({row["id"] for row in told}) == len(told) == OPEN
    late = [row["is_overdue"] for row in told]
    assert late == sorted(late, reverse=True)
    assert any(late)
    pages = [await numbers(office, f"{page}?page={n}", of) for n in (1, 2, 3)]
    assert [len(rows) for rows in pages] == [100, 100, 50]
    assert [n for rows in pages for n in rows] == [row["id"] for row in told]
    assert await numbers(office, f"{page}?page=99", of) == pages[2]
    second = (await office.browser.get(f"{page}?page=2")).text
    assert "Page 2 of 3" in second
    turns = dict(re.findall(r'rel="(prev|next)" href="([^"]+)"', second))
    assert turns == {"prev": f"{page}?show=open&amp;page=1", "next": f"{page}?show=open&amp;page=3"}
    closed = await numbers(office, f"{page}?show=closed", of)
    older = await numbers(office, f"{page}?show=closed&before={closed[-1]}", of)
    assert closed + older == sorted({*closed, *older}, reverse=True)
    assert len(closed) == len(older) == 100


async def test_counts_of_hazards_are_those_of_the_ledger_when_most_are_at_hand(office: Office) -> None:
    """What is at hand and what the ledger has beside it, each once."""
    until_ms = 2**45
    with office.ledger as ledger:
        rows = ledger.entries(HAZARD)
    from_ms = sorted(row.from_ms for row in rows)[ROWS // 2]
    answer = (await office.browser.get(f"/api/v1/hazard-counts?from_ms={from_ms}&until_ms={until_ms}")).json()
    wanted = count_hazards(rows, from_ms, until_ms)._asdict()
    assert {name: answer[name] for name in wanted} == wanted
    assert wanted["before"] > 0
    assert wanted["closed"] > 0


async def test_counts_on_the_page_are_never_old_when_hazards_change_and_time_goes_on(office: Office) -> None:
    """Found, closed, erased by nobody: each is counted on the next page; what is kept meanwhile is used again."""

    async def shown() -> dict[str, int]:
        text = (await office.browser.get("/hazards")).text
        names = {"before": "Open before", "found": "Found", "closed": "Closed", "after": "Open now"}
        return {name: int(re.findall(rf"<dt>{title}</dt><dd>(\d+)", text)[0]) for name, title in names.items()}

    first = await shown()
    assert await shown() == first
    token = csrf_in((await office.browser.get("/hazards/new")).text)
    fields = {"csrf": token, "site": "shuiye", "text": "blocked exit", "place": "stair 2"}
    made = (await office.browser.post("/hazards", data=fields)).headers["location"]
    assert await shown() == first | {"found": first["found"] + 1, "after": first["after"] + 1}
    for step in ({"step": "fix", "note": "cleared"}, {"step": "verify"}):
        actor = "duty" if step["step"] == "fix" else "administrator"
        await office.gateway.pipeline.ask(
            Ask(id=1, op=f"hazard.{step.pop('step')}", actor=actor, args={"id": int(made.rpartition("/")[2]), **step})
        )
    assert await shown() == first | {"found": first["found"] + 1, "closed": first["closed"] + 1}


MOMENTS = st.integers(0, 400)
ROUNDS = st.lists(MOMENTS, min_size=1, max_size=5, unique=True).map(sorted)


@given(st.lists(st.tuples(ROUNDS, ROUNDS, st.none() | MOMENTS), max_size=6), MOMENTS, st.integers(1, 300), MOMENTS)
def test_counts_hold_when_the_span_moves_on_by_less_than_is_said(
    made: list[tuple[list[int], list[int], int | None]], from_ms: int, span_ms: int, moved_ms: int
) -> None:
    """Whatever was found, closed and late when, also after the span."""

    def pairs(times: list[int]) -> list[tuple[int, int | None]]:
        return list(zip(times[::2], [*times[1::2], None], strict=False))

    rows = [
        Hazard(
            id=n, site="s", state="found", from_ms=0, source="person", subject="", text="", reported_ms=reported,
            rounds=tuple(Round(*pair) for pair in pairs(rounds)), overdue=tuple(Overdue(*pair) for pair in pairs(late)),
        )
        for n, (rounds, late, reported) in enumerate(made, 1)
    ]  # fmt: skip
    until_ms = from_ms + span_ms
    if moved_ms < counts_hold_ms(rows, from_ms, until_ms):
        later = count_hazards(rows, from_ms + moved_ms, until_ms + moved_ms)
        assert later == count_hazards(rows, from_ms, until_ms)


def test_a_state_may_be_one_of_several_when_rows_are_asked_for(tmp_path: Path) -> None:
    """In one question, newest first."""
    write_rows(tmp_path, "shuiye", 60, 20)
    connection = sqlite3.connect(tmp_path / "ledger.sqlite")
    both = [row.id for row in entries(connection, HAZARD, state=("found", "filed"), limit=10)]
    connection.close()
    assert both == list(range(60, 50, -1))
