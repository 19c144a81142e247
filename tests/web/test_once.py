"""What is sent twice has one effect, whatever sent it twice."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from gateway.web.once import FORM_S, KEY_S, MOST, Once
from tests.web.station import csrf_in
from tests.web.test_people_pages import open_desk


class Till:
    """An app that counts what was done, behind the guard."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.done: list[bytes] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.refuse = False
        self.person: str | None = None
        """Who asks, as the guard says."""
        app = Starlette(routes=[Route("/act", self._act, methods=["POST", "GET"])])
        transport = httpx.ASGITransport(app=Once(app, lambda: self.now_s))
        self.client = httpx.AsyncClient(transport=transport, base_url="http://till")

    async def _act(self, request: Request) -> Response:
        body = await request.body()
        await self.gate.wait()
        request.state.person = self.person
        self.done.append(body)
        if self.refuse:
            return PlainTextResponse("no", 422)
        return RedirectResponse(f"/act/{len(self.done)}", 303)

    async def form(self, **fields: str) -> httpx.Response:
        """Send a form."""
        return await self.client.post("/act", data=fields)


async def test_a_form_is_done_once_when_it_comes_twice_at_the_same_time() -> None:
    """The second waits for the first and gets its answer."""
    till = Till()
    till.gate.clear()
    both = [asyncio.create_task(till.form(once="page-one", text="a")) for _ in range(2)]
    await asyncio.sleep(0)
    till.gate.set()
    answers = await asyncio.gather(*both)
    assert ([a.headers["location"] for a in answers], len(till.done)) == (["/act/1", "/act/1"], 1)


async def test_a_form_is_done_again_when_anything_about_it_differs_or_time_has_passed() -> None:
    """Other words, another page, another person, or the same later: that is meant."""
    till = Till()
    await till.form(once="page-one", text="a")
    await till.form(once="page-one", text="b")
    await till.form(once="page-two", text="a")
    await till.client.post("/act", data={"once": "page-one", "text": "a"}, headers={"cookie": "session=other"})
    till.now_s += FORM_S
    await till.form(once="page-one", text="a")
    assert len(till.done) == 5


async def test_an_act_of_a_person_is_remembered_when_nobody_in_particular_floods_an_open_form() -> None:
    """Who is not signed in pushes out what others of them sent, and no more; a person is who the guard says."""
    till = Till()
    till.person = "wang"
    first = await till.form(once="page-one", text="a")
    till.person = None
    for n in range(MOST + 1):
        await till.form(once=f"open-{n}", text="x")
    assert (await till.form(once="page-one", text="a")).headers["location"] == first.headers["location"]
    assert (await till.form(once=f"open-{MOST}", text="x")).headers["location"] == f"/act/{MOST + 2}"
    assert (await till.form(once="open-0", text="x")).headers["location"] == f"/act/{MOST + 3}"


async def test_a_form_may_be_tried_again_when_it_was_refused() -> None:
    """A refusal is no effect."""
    till = Till()
    till.refuse = True
    assert (await till.form(once="page-one", text="a")).status_code == 422
    till.refuse = False
    assert ((await till.form(once="page-one", text="a")).status_code, len(till.done)) == (303, 2)


async def test_a_form_with_a_photo_is_done_once_when_its_boundary_is_another() -> None:
    """A browser draws a new boundary each time; the photo behind it is the same."""
    till = Till()
    for boundary in ("AaAa", "BbBb"):
        parts = [b'name="once"\r\n\r\npage-one', b'name="photo"; filename="x.jpg"\r\n\r\n' + b"\xff" * 200_000]
        edge = f"--{boundary}".encode()
        body = (
            b"".join(edge + b"\r\nContent-Disposition: form-data; " + part + b"\r\n" for part in parts) + edge + b"--"
        )
        kind = f"multipart/form-data; boundary={boundary}"
        await till.client.post("/act", content=body, headers={"content-type": kind})
    assert [len(body) for body in till.done] == [len(body)]


async def test_a_program_is_answered_as_before_when_it_repeats_its_key() -> None:
    """Ten minutes long; without a key every request is its own."""
    till = Till()
    for _ in range(2):
        await till.client.post("/act", json={"a": 1}, headers={"Idempotency-Key": "order-17"})
        await till.client.post("/act", json={"a": 1})
    till.now_s += KEY_S
    await till.client.post("/act", json={"a": 1}, headers={"Idempotency-Key": "order-17"})
    assert len(till.done) == 4


@given(st.lists(st.sampled_from(["a", "b", "c"]), max_size=12))
def test_every_act_is_done_exactly_once_when_sent_in_any_order(sent: list[str]) -> None:
    """However often each comes."""

    async def run() -> list[bytes]:
        till = Till()
        for text in sent:
            await till.form(once="page-one", text=text)
        return till.done

    assert len(asyncio.run(run())) == len(set(sent))


async def test_a_double_click_reports_one_hazard_when_the_whole_product_runs(tmp_path: Path, free_port: int) -> None:
    """The same form twice at once: one hazard, and both browsers' tabs go to it."""
    async with open_desk(tmp_path, free_port) as desk:
        duty = await desk.browser("duty")
        html = (await duty.get("/hazards/new")).text
        mark = html.split('name="once" value="')[1].split('"')[0]
        form = {
            "csrf": csrf_in(html),
            "once": mark,
            "site": "shuiye",
            "title": "Exit is locked",
            "place": "East stairs",
        }
        form |= {"text": "Chain on the door", "severity": "major", "kind": "other"}
        answers = await asyncio.gather(*(duty.post("/hazards", data=form) for _ in range(3)))
        assert {(a.status_code, a.headers.get("location")) for a in answers} == {(303, "/hazards/1")}
        assert [row["id"] for row in (await duty.get("/api/v1/hazards")).json()["items"]] == [1]
