"""Signing in: passwords, one-time passwords, sessions, guessing, forged requests."""

from __future__ import annotations

import asyncio
import socket

import pytest

from contract.errors import StartError
from gateway.ledger.records import User
from gateway.web.app import bind
from gateway.web.brake import ACCOUNT_TRIES, ADDRESS_TRIES, TRIES, WINDOW_S, Brake, network_of
from gateway.web.guard import Cookies
from gateway.web.settings import WebSettings
from gateway.web.sign_in import SignIn
from tests.web.station import HOUR_MS, ONE_TIME, PASSWORD, Browser, Station, csrf_in, now_ms, serving

NEW = "three short horns at noon"


async def test_a_password_opens_a_session_that_only_the_ledger_knows_by_its_hash(station: Station) -> None:
    """The cookie is HttpOnly and its token does not stand in the ledger."""
    station.user("duty")
    async with station.gateway(), serving(station) as address, Browser(address) as browser:
        assert (await browser.get("/")).headers["location"] == "/sign-in"
        answer = await browser.sign_in("duty")
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        cookie = next(c for c in answer.headers.get_list("set-cookie") if c.startswith("weizhan="))
        assert "HttpOnly" in cookie
        assert "samesite=lax" in cookie.lower()
        token = cookie.split("=", 1)[1].split(";")[0]
        assert station.db.execute("SELECT user FROM session WHERE token_hash <> ?", (token,)).fetchall() == [("duty",)]
        assert (await browser.get("/")).status_code == 200


async def test_sign_out_ends_the_session_when_the_cookie_is_kept(station: Station) -> None:
    """A copied cookie is worth nothing after the sign-out."""
    station.user("duty")
    async with station.gateway(), serving(station) as address, Browser(address) as browser:
        await browser.sign_in("duty")
        token = browser.cookies["weizhan"]
        await browser.submit("/", "/sign-out")
        browser.cookies.set("weizhan", token)
        assert (await browser.get("/")).status_code == 303
        assert station.db.execute("SELECT count(*) FROM session").fetchone() == (0,)


async def test_a_session_ends_when_its_time_is_over(station: Station) -> None:
    """Expiry is judged by the ledger's row, not by the browser's cookie."""
    station.user("duty")
    async with station.gateway(), serving(station) as address, Browser(address) as browser:
        await browser.sign_in("duty")
        station.db.execute("UPDATE session SET expires_ms = ?", (now_ms() - 1,))
        assert (await browser.get("/api/v1/session")).status_code == 401


async def test_a_one_time_password_opens_nothing_but_the_choice_of_a_new_one(station: Station) -> None:
    """It is refused everywhere until a password was chosen, and dead after that."""
    station.user("duty", one_time_until_ms=now_ms() + HOUR_MS)
    async with station.gateway(), serving(station) as address, Browser(address) as browser:
        answer = await browser.sign_in("duty", ONE_TIME)
        assert answer.headers["location"] == "/first-password"
        assert (await browser.get("/")).headers["location"] == "/sign-in"
        for refused, said in (
            ("short", "at least 8"),
            ("password123", "first that are guessed"),
            (ONE_TIME, "must differ"),
        ):
            answer = await browser.submit("/first-password", "/first-password", password=refused, again=refused)
            assert answer.status_code == 422
            assert said in answer.text
        answer = await browser.submit("/first-password", "/first-password", password=NEW, again=NEW + "x")
        assert "differ" in answer.text
        answer = await browser.submit("/first-password", "/first-password", password=NEW, again=NEW)
        assert answer.headers["location"] == "/"
        assert (await browser.get("/")).status_code == 200
    async with station.gateway(), serving(station) as address, Browser(address) as browser:
        assert (await browser.sign_in("duty", ONE_TIME)).status_code == 401
        assert (await browser.sign_in("duty", NEW)).status_code == 303


async def test_a_one_time_password_is_refused_with_what_to_do_when_it_was_used_before(station: Station) -> None:
    """Of two who have it, one is let in and may choose a password; the other is told whom to ask, in their language."""
    station.user("duty", one_time_until_ms=now_ms() + HOUR_MS)
    async with station.gateway(), serving(station) as address, Browser(address) as one, Browser(address, "zh") as two:
        answers = await asyncio.gather(one.sign_in("duty", ONE_TIME), two.sign_in("duty", ONE_TIME))
        assert sorted(answer.status_code for answer in answers) == [303, 403]
        first, second = (one, two) if answers[0].status_code == 303 else (two, one)
        assert (await second.get("/first-password")).headers["location"] == "/sign-in"
        for browser, said in ((Browser(address, "zh"), "一次性密码已经用过"), (Browser(address), "weizhan user reset")):
            async with browser:
                answer = await browser.sign_in("duty", ONE_TIME)
                assert (answer.status_code, said in answer.text) == (403, True)
        await first.submit("/first-password", "/first-password", password=NEW, again=NEW)
        assert (await first.get("/")).status_code == 200


async def test_a_browser_that_crashed_goes_on_choosing_when_it_was_let_in_by_the_one_time_password(
    station: Station,
) -> None:
    """Who has it elsewhere is refused meanwhile; where the choice is lost, an administrator gives a new one."""
    station.user("duty", one_time_until_ms=now_ms() + HOUR_MS)
    async with station.gateway(), serving(station) as address, Browser(address) as browser, Browser(address) as other:
        await browser.sign_in("duty", ONE_TIME)
        assert (await other.sign_in("duty", ONE_TIME)).status_code == 403
        assert (await browser.sign_in("duty", ONE_TIME)).headers["location"] == "/first-password"
        browser.cookies.clear()
        assert (await browser.sign_in("duty", ONE_TIME)).status_code == 403
        station.user("duty", one_time_until_ms=now_ms() + 2 * HOUR_MS)
        await browser.sign_in("duty", ONE_TIME)
        answer = await browser.submit("/first-password", "/first-password", password=NEW, again=NEW)
        assert answer.headers["location"] == "/"


async def test_whoever_may_choose_a_password_is_out_when_an_administrator_gave_another(station: Station) -> None:
    """A one-time password that leaked is worth nothing once it was replaced, also to who used it a moment before."""
    station.user("duty", one_time_until_ms=now_ms() + HOUR_MS)
    async with station.gateway(), serving(station) as address, Browser(address) as thief:
        await thief.sign_in("duty", ONE_TIME)
        token = csrf_in((await thief.get("/first-password")).text)
        station.user("duty", one_time_until_ms=now_ms() + 2 * HOUR_MS)
        answer = await thief.post("/first-password", data={"csrf": token, "password": NEW, "again": NEW})
        assert answer.headers["location"] == "/sign-in"
        assert (await thief.sign_in("duty", NEW)).status_code == 401


async def test_a_form_in_an_odd_encoding_is_refused_like_every_other(station: Station) -> None:
    """Halves of characters, which UTF-7 can carry, are a wrong token and no fault of the server."""
    body = b'--x\r\nContent-Disposition: form-data; name="csrf"\r\n\r\n+2AA-\r\n--x--\r\n'
    async with station.gateway(), serving(station) as address, Browser(address) as browser:
        await browser.get("/sign-in")
        headers = {"Content-Type": "multipart/form-data; boundary=x; charset=utf-7"}
        assert (await browser.post("/preferences", content=body, headers=headers)).status_code == 403


async def test_an_expired_one_time_password_is_refused_with_what_to_do(station: Station) -> None:
    """The text says that it has expired and whom to ask; a wrong one does not learn that."""
    station.user("duty", one_time_until_ms=now_ms() - 1)
    async with station.gateway(), serving(station) as address, Browser(address) as browser:
        answer = await browser.sign_in("duty", ONE_TIME)
        assert answer.status_code == 403
        assert "This one-time password has expired. Ask an administrator for a new one." in answer.text
        assert "password has expired" not in (await browser.sign_in("duty", "something else")).text


async def test_a_post_without_its_token_is_refused_whoever_sends_it(station: Station) -> None:
    """Forged forms, signed in or not, change nothing."""
    station.user("duty")
    alarm = station.alarm("panel-fire", "shuiye/panel-01/p012", "fire")
    async with station.gateway(), serving(station) as address, Browser(address) as browser:
        assert (await browser.post("/sign-in", data={"name": "duty", "password": PASSWORD})).status_code == 403
        await browser.sign_in("duty")
        for path in (f"/alarms/{alarm}/acknowledge", "/sign-out", "/preferences"):
            assert (await browser.post(path, data={"csrf": "0" * 64, "language": "en"})).status_code == 403
        answer = await browser.post(f"/api/v1/alarms/{alarm}/acknowledge", json={"note": ""})
        assert (answer.status_code, answer.headers["content-type"]) == (403, "application/problem+json")
        assert "alarm.acknowledge" not in [ask.op for ask in station.asked]


async def test_next_leads_nowhere_else_when_it_names_another_host(station: Station) -> None:
    """An address in the sign-in link cannot send people away."""
    station.user("duty")
    async with station.gateway(), serving(station) as address, Browser(address) as browser:
        token = csrf_in((await browser.get("/sign-in")).text)
        form = {"csrf": token, "name": "duty", "password": PASSWORD, "next": "//evil.example/"}
        assert (await browser.post("/sign-in", data=form)).headers["location"] == "/"


async def test_failures_are_told_to_the_gateway_and_braked_for_account_and_address(station: Station) -> None:
    """The sixth try from one address is refused even with the right password."""
    station.user("duty")
    async with station.gateway(), serving(station) as address, Browser(address) as browser:
        answers = [(await browser.sign_in("duty", f"wrong {n}")).status_code for n in range(TRIES)]
        assert answers == [401] * TRIES
        assert (await browser.sign_in("duty")).status_code == 429
        told = [ask.args for ask in station.asked if ask.op == "sign_in.failed"]
        assert told[0] == {"name": "duty", "address": "127.0.0.1"}
        for _ in range(10):
            assert (await browser.sign_in("duty")).status_code == 429
        # What is held up is written down once a minute, however often somebody knocks.
        assert len([ask for ask in station.asked if ask.op == "sign_in.failed"]) == TRIES + 1


def test_the_brake_holds_one_pair_only_and_for_a_quarter_of_an_hour() -> None:
    """A stranger elsewhere does not lock the duty desk out."""
    now = [1000.0]
    brake = Brake(lambda: now[0])
    for _ in range(TRIES):
        brake.failed("duty", "203.0.113.9")
    assert brake.holds("duty", "203.0.113.9")
    assert not brake.holds("duty", "192.168.1.20")
    assert not brake.holds("maintainer", "203.0.113.9")
    now[0] += WINDOW_S + 1
    assert not brake.holds("duty", "203.0.113.9")


def test_an_ipv6_neighbourhood_counts_as_one_address() -> None:
    """Whoever owns a /64 has no endless supply of addresses."""
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff") != network_of("2001:db8:0:1::1")


async def test_tries_sent_at_once_cannot_slip_past_the_brake() -> None:
    """Twenty parallel guesses get five verifications."""
    sign_in = SignIn(now_ms, lambda: 1000.0)
    user = User("duty", "duty", await sign_in.hash(PASSWORD), None, 0)
    results = await asyncio.gather(*(sign_in.attempt(user, "duty", f"guess {n}", "10.0.0.9") for n in range(20)))
    assert sorted(r.outcome for r in results) == ["braked"] * 15 + ["wrong"] * 5


async def test_a_one_time_password_lets_in_at_a_new_desk_while_others_guess() -> None:
    """Guesses from everywhere keep nobody out who was just given a way in; who guesses is told nothing new."""
    sign_in = SignIn(now_ms, lambda: 1000.0)
    password_hash = await sign_in.hash(ONE_TIME)
    given = User("duty", "duty", password_hash, now_ms() + HOUR_MS, 0)
    for number in range(ACCOUNT_TRIES):
        await sign_in.attempt(given, "duty", "guess", f"203.0.113.{number}")
    stale = [
        given._replace(one_time_until_ms=None),
        given._replace(one_time_until_ms=now_ms() - 1),
        given._replace(one_time_used_ms=now_ms()),
        given._replace(disabled_ms=now_ms()),
    ]
    outcomes = [(await sign_in.attempt(user, "duty", ONE_TIME, "192.168.1.20")).outcome for user in stale]
    assert outcomes == ["braked"] * 4
    assert (await sign_in.attempt(given, "duty", "guess", "192.168.1.20")).outcome == "braked"
    assert (await sign_in.attempt(given, "duty", ONE_TIME, "192.168.1.20")).outcome == "first"


async def test_guesses_at_a_one_time_password_are_held_up_by_their_address() -> None:
    """Twenty a minute from one address cost the machine a second; the rest cost it nothing."""
    sign_in = SignIn(now_ms, lambda: 1000.0)
    given = User("duty", "duty", await sign_in.hash(ONE_TIME), now_ms() + HOUR_MS, 0)
    for _ in range(ADDRESS_TRIES):
        await sign_in.attempt(given, "duty", "guess", "203.0.113.9")
    assert (await sign_in.attempt(given, "duty", ONE_TIME, "203.0.113.9")).outcome == "braked"


async def test_a_name_nobody_has_costs_the_same_verification() -> None:
    """An unknown name is answered like a wrong password."""
    sign_in = SignIn(now_ms, lambda: 1000.0)
    await sign_in.warm()
    assert (await sign_in.attempt(None, "nobody", PASSWORD, "10.0.0.9")).outcome == "wrong"


def test_cookies_are_tied_to_the_host_when_served_over_https() -> None:
    """The __Host- prefix stands with TLS or an https public address."""
    assert WebSettings(public_url="https://weizhan.example.cn").secure
    assert Cookies.named(True).session == "__Host-weizhan"
    assert Cookies.named(False).session == "weizhan"


def test_the_port_is_named_when_it_is_in_use() -> None:
    """A start on a taken port says which port and what to do."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(StartError) as caught:
            bind(WebSettings(port=port))
    assert str(caught.value) == (
        f"web: port {port} on 127.0.0.1: Address already in use. Stop what uses it, or set web.port to another one."
    )
