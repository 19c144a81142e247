"""Accounts, one's own sessions and tokens, wall displays: on pages and API, with the gateway behind them."""

from __future__ import annotations

import re
from pathlib import Path

from gateway.web.access import token_hash
from tests.web.station import Browser, csrf_in, serving
from tests.web.test_people_pages import NEW, Desk, open_desk

SECRET = re.compile(r'class="secret-text"[^>]*>([^<]+)<')


def shown_in(html: str) -> str:
    """The secret a page shows once."""
    return SECRET.findall(html)[0]


async def first_sign_in(browser: Browser, name: str, password: str) -> None:
    """A one-time password, then one of their own."""
    assert (await browser.sign_in(name, password)).headers["location"] == "/first-password"
    answer = await browser.submit("/first-password", "/first-password", password=NEW, again=NEW)
    assert answer.headers["location"] == "/"


async def test_an_account_lives_from_its_one_time_password_to_being_switched_off(
    tmp_path: Path, free_port: int
) -> None:
    """Made, shown once, signed in, another role, reset, switched off and on; each in the audit trail."""
    async with open_desk(tmp_path, free_port) as desk:
        admin, wang = await desk.browser("administrator"), Browser(desk._address)
        async with wang:
            page, address = "/admin/accounts", "/admin/accounts/wang"
            made = await admin.submit(page, page, name="wang", role="duty", area="")
            await first_sign_in(wang, "wang", shown_in(made.text))
            again = (await admin.get(page)).text
            assert ("wang" in again, SECRET.findall(again)) == (True, [])
            assert (await admin.submit(page, page, name="Wang", role="duty")).status_code == 409
            assert (await admin.submit(page, page, name="no spaces", role="duty")).status_code == 422
            assert (await wang.get(page)).status_code == 403
            await admin.submit(page, f"{address}/rights", role="inspector", area="")
            assert (await wang.get("/api/v1/session")).json()["role"] == "inspector"
            fresh = shown_in((await admin.submit(page, f"{address}/reset")).text)
            assert (await wang.get("/")).status_code == 303
            await first_sign_in(wang, "wang", fresh)
            await admin.submit(page, f"{address}/disable")
            assert (await wang.get("/")).status_code == 303
            off = await wang.sign_in("wang", NEW)
            assert (off.status_code, "switched off" in off.text) == (403, True)
            await admin.submit(page, f"{address}/enable")
            assert (await wang.sign_in("wang", NEW)).status_code == 303
            await admin.submit(page, f"{address}/end-all")
            assert (await wang.get("/")).status_code == 303
        last = await admin.submit(page, "/admin/accounts/administrator/rights", role="duty", area="")
        assert (last.status_code, "last administrator" in last.text) == (409, True)
        done = [row["action"] for row in (await admin.get("/api/v1/audit")).json()["items"] if row["subject"] == "wang"]
        wanted = {"user.create", "user.set_rights", "user.reset", "user.disable", "user.enable", "session.end_all"}
        assert wanted <= set(done)


async def test_accounts_are_kept_by_api_by_a_person_and_not_by_a_token(tmp_path: Path, free_port: int) -> None:
    """The same acts; the one-time password stands in the answer; a token of an administrator is refused."""
    async with open_desk(tmp_path, free_port) as desk:
        admin = await desk.browser("administrator")
        csrf = {"X-CSRF-Token": await admin.csrf()}
        body = {"name": "li", "role": "maintainer"}
        made = (await admin.post("/api/v1/accounts", json=body, headers=csrf)).json()
        assert (made["name"], len(made["password"])) == ("li", 14)
        rights = {"role": "duty", "area": ""}
        assert (await admin.post("/api/v1/accounts/li/rights", json=rights, headers=csrf)).status_code == 200
        assert (await admin.post("/api/v1/accounts/nobody/disable", headers=csrf)).status_code == 404
        assert (await admin.post("/api/v1/accounts/li/disable", headers=csrf)).status_code == 200
        rows = {row["name"]: row for row in (await admin.get("/api/v1/accounts")).json()["items"]}
        assert (rows["li"]["state"], rows["li"]["role"], rows["administrator"]["sessions"]) == ("off", "duty", 1)
        form = {"name": "script", "days": "7", "role": "administrator"}
        token = shown_in((await admin.submit("/account", "/account/tokens", **form)).text)
        async with Browser(desk._address) as program:
            headers = {"Authorization": f"Bearer {token}"}
            assert (await program.get("/api/v1/alarms", headers=headers)).status_code == 200
            assert (await program.get("/metrics", headers=headers)).status_code == 200
            answer = await program.post("/api/v1/accounts", json={**body, "name": "mole"}, headers=headers)
            assert answer.status_code == 403


async def test_people_see_and_end_their_own_sessions_and_tokens_and_change_their_password(
    tmp_path: Path, free_port: int
) -> None:
    """Another browser is signed out from here; somebody else's is not there; a wrong password changes nothing."""
    async with open_desk(tmp_path, free_port) as desk:
        here, other = await desk.browser("duty"), await desk.browser("maintainer")
        phone = await desk._stack.enter_async_context(Browser(desk._address))
        phone.headers["User-Agent"] = "Mozilla/5.0 (Linux; Android 14) Chrome/126.0 Mobile"
        await phone.sign_in("duty", NEW)
        html = (await here.get("/account")).text
        assert "Chrome · Android" in html
        (elsewhere,) = re.findall(r'action="/account/sessions/(\w+)/end"', html)
        assert (await other.submit("/account", f"/account/sessions/{elsewhere}/end")).status_code == 404
        await here.submit("/account", f"/account/sessions/{elsewhere}/end")
        assert (await phone.get("/")).status_code == 303
        token = shown_in((await here.submit("/account", "/account/tokens", name="script", reads_only="yes")).text)
        headers = {"Authorization": f"Bearer {token}"}
        async with Browser(desk._address) as program:
            assert (await program.get("/api/v1/alarms", headers=headers)).status_code == 200
            assert token not in (await here.get("/account")).text
            await here.submit("/account", f"/account/sessions/{token_hash(token)[:16]}/end")
            assert (await program.get("/api/v1/alarms", headers=headers)).status_code == 401
        await phone.sign_in("duty", NEW)
        better = "four long horns at dusk"
        fields = {"password": better, "again": better}
        wrong = await here.submit("/account", "/account/password", before="guess", **fields)
        assert (wrong.status_code, "is not right" in wrong.text) == (422, True)
        old = here.cookies["weizhan"]
        done = await here.submit("/account", "/account/password", before=NEW, **fields)
        assert (done.headers["location"], here.cookies["weizhan"] != old) == ("/account", True)
        assert [(await each.get("/account")).status_code for each in (here, phone)] == [200, 303]
        assert (await phone.sign_in("duty", better)).status_code == 303


async def pair(desk: Desk, admin: Browser, area: str) -> tuple[Browser, str]:
    """A wall display that was given its code, and the code."""
    made = await admin.submit("/admin/walls", "/admin/walls", name="Hall", area=area)
    code = shown_in(made.text)
    wall = await desk._stack.enter_async_context(Browser(desk._address))
    answer = await wall.submit("/pair", "/pair", code=code.lower().replace("-", " "))
    assert answer.headers["location"] == "/wall"
    return wall, code


async def test_a_wall_display_is_let_in_by_a_code_and_out_by_an_administrator(tmp_path: Path, free_port: int) -> None:
    """The code is good once; the display reads the board of its site; its cookie is renewed; then it is ended."""
    async with open_desk(tmp_path, free_port) as desk:
        admin = await desk.browser("administrator")
        wall, code = await pair(desk, admin, "site:shuiye")
        page = await wall.get("/wall")
        assert page.status_code == 200
        cookie = next(each for each in page.headers.get_list("set-cookie") if each.startswith("weizhan="))
        assert "Max-Age=34560000" in cookie
        assert (await wall.get("/map")).status_code == 200
        async with serving(desk.station) as later, Browser(later) as started_again:  # the pages, and the browser
            started_again.cookies.set("weizhan", wall.cookies["weizhan"])
            assert (await started_again.get("/wall")).status_code == 200
        assert (await wall.get("/account")).status_code == 403
        again = await Browser(desk._address).__aenter__()
        assert (await again.submit("/pair", "/pair", code=code)).status_code == 422
        for n in range(4):
            await again.submit("/pair", "/pair", code=f"AAAA-BBB{n}")
        assert (await again.submit("/pair", "/pair", code="AAAA-BBBB")).status_code == 429
        await again.__aexit__()
        html = (await admin.get("/admin/walls")).text
        (wall_id,) = re.findall(r"/admin/walls/(\w+)/end", html)
        assert (await admin.submit("/admin/walls", "/admin/walls/0000000000000000/end")).status_code == 404
        await admin.submit("/admin/walls", f"/admin/walls/{wall_id}/end")
        assert (await wall.get("/wall")).headers["location"].startswith("/sign-in")
        assert csrf_in((await wall.get("/pair")).text)
