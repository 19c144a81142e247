"""The shift on pages and API, with the gateway behind them: PIN, two signatures, log, the code of a post."""

from __future__ import annotations

import re
from pathlib import Path

from gateway.control.protocol import Ask
from tests.web.station import Browser
from tests.web.test_people_pages import Desk, open_desk

Pins = dict[int, str]


async def add_people(desk: Desk) -> tuple[Browser, Browser, Pins]:
    """Three people with PINs; gives the browsers of duty desk and administrator, and the PINs."""
    admin, pins = await desk.browser("administrator"), {}
    token = {"X-CSRF-Token": await admin.csrf()}
    for number in (1, 2, 3):
        person = {"site": "shuiye", "name": f"Wang {number}", "has_operator": "1", "until_operator": "2091-05-01"}
        await admin.submit("/people", "/people", **person)
        made = await admin.post(f"/api/v1/people/{number}/pin", json={}, headers=token)
        pins[number] = str(made.json()["pin"])
    return await desk.browser("duty"), admin, pins


def who(pins: Pins, number: int) -> dict[str, str]:
    """A person and their PIN, as a form has them."""
    return {"person": str(number), "pin": pins[number]}


async def sign(duty: Browser, side: str, somebody: dict[str, str]) -> int:
    """Look at the sheet of the page and sign."""
    html = (await duty.get("/shift")).text
    seen = re.findall(r'name="seen" value="(\w+)"', html)[0]
    form = {"site": "shuiye", "side": side, "seen": seen, **somebody}
    return (await duty.submit("/shift", "/shift/sign", **form)).status_code


async def test_a_shift_begins_with_two_pins_and_stands_on_page_and_api(tmp_path: Path, free_port: int) -> None:
    """Signed on, signed by both sides, logged; a wrong PIN is refused and audited; the sheet can be read later."""
    async with open_desk(tmp_path, free_port) as desk:
        duty, _, pins = await add_people(desk)
        assert "Nobody is here." in (await duty.get("/shift")).text
        on = {"site": "shuiye", "post": "control"}
        assert (await duty.submit("/shift", "/shift/sign-on", **on, person="1", pin="000001")).status_code == 403
        assert (await duty.submit("/shift", "/shift/sign-on", **on)).status_code == 422  # nobody of the people
        for number in (1, 2):
            answer = await duty.submit("/shift", "/shift/sign-on", **on, **who(pins, number))
            assert (answer.status_code, answer.headers["location"]) == (303, "/shift?site=shuiye&sound=check")
        assert "make sure that this screen can be heard" in (await duty.get(answer.headers["location"])).text
        heard = {"site": "shuiye", "heard": "true", "csrf": await duty.csrf()}
        assert (await duty.post("/sound-check", data=heard)).status_code == 204
        assert "Heard by duty" in (await duty.get("/shift")).text
        assert await sign(duty, "new", who(pins, 1)) == 303
        assert await sign(duty, "old", who(pins, 1)) == 409
        assert await sign(duty, "old", who(pins, 3)) == 303
        html = (await duty.get("/shift")).text
        assert "Wang 1" in html
        assert "Wang 3 → Wang 1" in html
        assert "in place of the crew" in (await duty.get("/shift/handovers/1")).text
        log = {"site": "shuiye", "topic": "panel", "text": "looked at the panel"}
        assert (await duty.submit("/shift", "/shift/log", **log, **who(pins, 2))).status_code == 303
        assert "looked at the panel" in (await duty.get("/shift")).text
        answer = (await duty.get("/api/v1/shifts/shuiye")).json()
        assert answer["present"] == {"control": [1, 2], "gate": []}
        token = {"X-CSRF-Token": await duty.csrf()}
        off = {"person": 2, "pin": pins[2]}
        left = await duty.post("/api/v1/shifts/shuiye/sign-off", json=off, headers=token)
        assert left.status_code == 200
        assert (await duty.get("/api/v1/shifts/shuiye")).json()["present"]["control"] == [1]
        rows = (await duty.get("/api/v1/shifts/shuiye/log")).json()["items"]
        assert [(row["text"], row["person"], row["topic"]) for row in rows] == [("looked at the panel", 2, "panel")]
        (handover,) = (await duty.get("/api/v1/shifts/shuiye/handovers")).json()["items"]
        assert (handover["old"]["person"], handover["new"]["person"]) == (3, 1)
        assert (await duty.get("/api/v1/shifts/nowhere")).status_code == 404
        pages = [
            (await duty.get("/api/v1/shifts/shuiye/checks")).json()["items"],
            (await duty.get("/api/v1/duty-checks")).json()["items"],
        ]
        assert pages == [[], []]


async def test_the_code_of_a_post_answers_a_check_with_a_pin_only(tmp_path: Path, free_port: int) -> None:
    """Printed by an administrator; whoever scans it is told nothing but masked names until they give a PIN."""
    async with open_desk(tmp_path, free_port) as desk:
        duty, admin, pins = await add_people(desk)
        assert (await duty.get("/shift/codes")).status_code == 403
        html = (await admin.get("/shift/codes")).text
        assert html.count("<svg") >= 2
        (link,) = re.findall(r"https?://[^/]+(/here/shuiye/control/\w+)", html)
        sign_on = {"site": "shuiye", "post": "control", "person": 1, "proof": "pin"}
        await desk.gateway.pipeline.ask(Ask(id=1, op="shift.sign_on", actor="local", args=sign_on))
        ask = Ask(id=1, op="duty.ask", actor="local", args={"site": "shuiye", "origin": "station", "minutes": 5})
        number = (await desk.gateway.pipeline.ask(ask))["id"]
        token = {"X-CSRF-Token": await duty.csrf()}
        assert (await duty.post(f"/duty/{number}/answer", headers=token)).status_code == 422
        assert f'href="/shift/answer/{number}"' in (await duty.get("/")).text
        assert "Wang 1" in (await duty.get(f"/shift/answer/{number}")).text
        async with Browser(str(duty.base_url)) as phone:
            assert "Random duty check" in (await phone.get(link)).text
            assert (await phone.get(link[:-3] + "abc")).status_code == 404
            form = {"check": str(number)}
            assert (await phone.submit(link, link, **form)).status_code == 403
            assert (await phone.submit(link, link, **form, person="1", pin="999999")).status_code == 403
            done = await phone.submit(link, link, **form, **who(pins, 1))
            assert "Duty check answered" in done.text
        (row,) = (await duty.get("/api/v1/shifts/shuiye/checks")).json()["items"]
        assert (row["state"], row["person"], row["proof"], row["post"]) == ("answered", 1, "qr", "control")
