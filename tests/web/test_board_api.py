"""Floor plans and advice over the API: the same rows as on the pages, for whoever may, and never another site's."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.web.examples import Known
from tests.web.office import Office, open_office
from tests.web.station import Browser, Station
from tests.web.test_map import desk, drawing, send

SPOT = {"at": "hydrant-01", "x": 2500, "y": 7500}


async def post(browser: Browser, address: str, body: dict[str, Any]) -> Any:
    return await browser.post(address, json=body, headers={"X-CSRF-Token": await browser.csrf()})


async def test_a_plan_is_listed_looked_at_and_its_marks_are_moved_over_the_api(station: Station) -> None:
    """What is placed here stands on the page, and moves; what is taken off is gone; nothing is placed that is not
    there."""
    async with desk(station, "maintainer") as browser:
        await send(browser, drawing())
        found = (await browser.get("/api/v1/floor-plans?site=shuiye")).json()
        assert found["next"] is None
        (plan,) = found["items"]
        assert {name: plan[name] for name in ("site", "title", "width", "height", "marks")} == {
            "site": "shuiye", "title": "1st floor", "width": 300, "height": 200, "marks": [],
        }  # fmt: skip
        picture = await browser.get(plan["picture"])
        assert (picture.headers["content-type"], Image.open(io.BytesIO(picture.content)).size) == (
            "image/webp",
            (300, 200),
        )
        where = f"/api/v1/floor-plans/{plan['id']}"
        for x in (1000, 2500):
            placed = (await post(browser, f"{where}/place", {**SPOT, "x": x})).json()
        (mark,) = placed["marks"]
        assert {name: mark[name] for name in SPOT} == SPOT
        assert (mark["kind"], mark["burns"], bool(mark["title"])) == ("good", False, True)
        assert "hydrant-01" in (await browser.get(f"/map?plan={plan['id']}")).text
        assert (await post(browser, f"{where}/place", {**SPOT, "x": 10_001})).status_code == 422
        assert (await post(browser, f"{where}/unplace", {"at": "hydrant-01"})).json()["marks"] == []
        for address in ("/api/v1/floor-plans/999", "/api/v1/floor-plans/999/picture", "/api/v1/floor-plans?site=x"):
            refused = await browser.get(address)
            assert (refused.status_code, refused.headers["content-type"]) == (404, "application/problem+json")


@pytest.mark.parametrize("role", ["duty", "inspector"])
async def test_who_does_not_maintain_looks_at_plans_and_moves_nothing(role: str, station: Station) -> None:
    """403, and the mark stays where it was."""
    async with desk(station, role) as browser:
        assert (await browser.get("/api/v1/floor-plans")).status_code == 200
        assert (await post(browser, "/api/v1/floor-plans/1/place", SPOT)).status_code == 403


@pytest.fixture
async def office(tmp_path: Path) -> Any:
    """A real gateway."""
    async with open_office(tmp_path / "o") as made:
        yield made


async def test_a_step_of_the_advice_is_ticked_once_and_taken_back_over_the_api(office: Office) -> None:
    """By who did it first; a step that there is not is refused with the number of those there are."""
    fire = await Known(office.gateway, "shuiye").get("alarm_id")
    where = f"/api/v1/alarms/{fire}/advice"
    steps = (await office.browser.get(where)).json()["steps"]
    assert [step["by"] for step in steps] == [None] * len(steps)
    assert len(steps) > 1
    for _ in range(2):
        ticked = (await office.api("POST", where, json={"step": 1})).json()["steps"]
    assert [step["by"] is not None for step in ticked] == [n == 1 for n in range(len(steps))]
    assert ticked[1]["at_ms"] > 0
    back = (await office.api("POST", where, json={"step": 1, "done": False})).json()["steps"]
    assert back == steps
    refused = await office.api("POST", where, json={"step": 99})
    assert refused.status_code == 422
    assert (await office.browser.get("/api/v1/alarms/999999/advice")).status_code == 404
