"""The brake on guessing: who guesses is stopped, who has signed in here before is not."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
import yaml
from argon2 import PasswordHasher, extract_parameters
from hypothesis import given
from hypothesis import strategies as st

from gateway.ledger.records import User
from gateway.users import hasher
from gateway.web.brake import Brake, device_cookie, known_device, make_device
from gateway.web.sign_in import AT_ONCE, COMMON, WAITING, Policy, SignIn
from tests.web.station import PASSWORD, Browser, Station, csrf_in, now_ms, serving

SECRET = b"s" * 32
GUESSES = 10_000


def tried(brake: Brake, name_of: object, address_of: object) -> int:
    """How many of ten thousand guesses are tried."""
    count = 0
    for number in range(GUESSES):
        name, address = name_of(number), address_of(number)  # type: ignore[operator] # functions of the guess
        if not brake.holds(name, address):
            brake.failed(name, address)
            count += 1
    return count


@pytest.mark.parametrize(
    ("name_of", "address_of", "most"),
    [
        (lambda _: "duty", lambda _: "203.0.113.9", 5),
        (lambda _: "duty", lambda n: f"10.{n // 65536}.{n // 256 % 256}.{n % 256}", 25),
        (lambda n: f"user{n}", lambda _: "203.0.113.9", 20),
    ],
    ids=["one account from one address", "one account from everywhere", "every account from one address"],
)
def test_few_of_ten_thousand_guesses_are_tried(name_of: object, address_of: object, most: int) -> None:
    """At most thirty, however they are spread; the known desk still gets in behind the same address meanwhile."""
    brake = Brake(lambda: 1000.0)
    assert tried(brake, name_of, address_of) == most
    assert not brake.holds("duty", "203.0.113.9", "the desk")


def test_desks_behind_one_address_are_not_locked_out_for_good() -> None:
    """Whoever guesses from there holds up new devices for a minute; right passwords count nothing at all."""
    now = [1000.0]
    brake = Brake(lambda: now[0])
    for number in range(100):
        brake.failed(f"user{number}", "198.51.100.1")
        brake.succeeded(f"user{number}", "198.51.100.1")
    assert not brake.holds("duty", "198.51.100.1")
    for number in range(20):
        brake.failed(f"user{number}", "198.51.100.1")
    assert brake.holds("duty", "198.51.100.1")
    now[0] += 61
    assert not brake.holds("duty", "198.51.100.1")


def test_a_known_device_that_guesses_is_stopped_by_itself() -> None:
    """Five tries at that device; others of the account go on."""
    brake = Brake(lambda: 1000.0)
    for _ in range(5):
        brake.failed("duty", "192.0.2.1", "desk one")
    assert brake.holds("duty", "192.0.2.1", "desk one")
    assert not brake.holds("duty", "192.0.2.1", "desk two")
    assert not brake.holds("duty", "192.0.2.1")


def test_a_device_is_known_by_a_cookie_of_this_ledger_for_this_account_only() -> None:
    """Forged, of another account, of another ledger, too old, from the future: none."""
    at = now_ms()
    made = make_device(SECRET, "duty", at)
    assert known_device(SECRET, "duty", made, at)
    for secret, name, value, when in (
        (SECRET, "chief", made, at),
        (b"t" * 32, "duty", made, at),
        (SECRET, "duty", made[:-1] + ("a" if made[-1] != "a" else "b"), at),
        (SECRET, "duty", made, at + 181 * 86_400_000),
        (SECRET, "duty", made, at - 1),
        (SECRET, "duty", None, at),
    ):
        assert known_device(secret, name, value, when) == ""


@given(st.text(max_size=300))
def test_no_cookie_is_taken_for_a_device_that_we_did_not_make(value: str) -> None:
    """Whatever a browser sends."""
    assert known_device(SECRET, "duty", value, 10**13) == ""


async def test_the_desk_signs_in_where_it_did_before_while_a_stranger_behind_its_address_guesses(
    station: Station,
) -> None:
    """The stranger is stopped after five tries, and a new device with it; the desk is not."""
    station.user("duty")
    async with station.gateway(), serving(station) as address, Browser(address) as desk, Browser(address) as stranger:
        await desk.sign_in("duty")
        await desk.submit("/", "/sign-out")
        for number in range(6):
            answer = await stranger.sign_in("duty", f"guess {number}")
        assert answer.status_code == 429
        assert (await stranger.sign_in("duty")).status_code == 429
        assert (await desk.sign_in("duty")).status_code == 303
        assert desk.cookies[device_cookie("", "duty")] != ""


async def test_fifty_sign_ins_at_once_are_checked_a_few_at_a_time(station: Station) -> None:
    """All of them get in; never more passwords are checked at once than cores may be spared."""
    sign_in = SignIn(now_ms, time.monotonic)
    running, most = 0, 0
    real = sign_in._matches

    def counted(password_hash: str, password: str) -> bool:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            return real(password_hash, password)
        finally:
            running -= 1

    sign_in._matches = counted  # type: ignore[method-assign] # counts, and does the same
    user = User("duty", "duty", await sign_in.hash(PASSWORD), None, 0)
    tries = [sign_in.attempt(user._replace(name=f"u{n}"), f"u{n}", PASSWORD, f"10.0.0.{n}") for n in range(50)]
    assert {result.outcome for result in await asyncio.gather(*tries)} == {"ok"}
    assert most <= 2


async def test_the_desk_is_let_in_at_once_while_strangers_from_everywhere_fill_the_line() -> None:
    """A thousand addresses try: further strangers are told to come back, a known device waits for one or two."""
    sign_in = SignIn(now_ms, time.monotonic)
    order: list[str] = []
    real = sign_in._matches

    def noted(password_hash: str, password: str) -> bool:
        order.append(password)
        return real(password_hash, password)

    sign_in._matches = noted  # type: ignore[method-assign] # notes, and does the same
    user = User("duty", "duty", PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORD), None, 0)
    await sign_in.warm()
    flood = [asyncio.create_task(sign_in.attempt(None, f"u{n}", "guess", f"10.{n}.0.1")) for n in range(1000)]
    async with asyncio.timeout(10):
        while not order:
            await asyncio.sleep(0)
    desk = await sign_in.attempt(user, "duty", PASSWORD, "192.0.2.1", "the desk")
    assert desk.outcome == "ok"
    assert order.index(PASSWORD) <= 2 * AT_ONCE
    outcomes = [result.outcome for result in await asyncio.gather(*flood)]
    assert (outcomes.count("wrong"), outcomes.count("busy")) == (WAITING, 1000 - WAITING)


async def test_the_same_work_is_done_for_a_name_nobody_has() -> None:
    """One check with the same parameters, so that the time tells nobody which names there are."""
    sign_in, checked = SignIn(now_ms, time.monotonic), []
    real = sign_in._matches

    def noted(password_hash: str, password: str) -> bool:
        checked.append(extract_parameters(password_hash))
        return real(password_hash, password)

    sign_in._matches = noted  # type: ignore[method-assign] # notes, and does the same
    user = User("duty", "duty", await sign_in.hash(PASSWORD), None, 0)
    await sign_in.attempt(user, "duty", "wrong", "10.0.0.1")
    await sign_in.attempt(None, "nobody", "wrong", "10.0.0.1")
    assert len(checked) == 2
    assert checked[0] == checked[1]


async def test_a_password_is_hashed_anew_at_a_sign_in_when_its_hash_has_older_parameters(station: Station) -> None:
    """19 MiB, two passes, one lane; what was kept before is replaced, and only that."""
    station.user("duty")  # with a cheap hash
    async with station.gateway(), serving(station) as address, Browser(address) as browser:
        assert (await browser.sign_in("duty")).status_code == 303
        (ask,) = [ask for ask in station.asked if ask.op == "user.rehash"]
        found = extract_parameters(ask.args["password_hash"])
        assert (found.memory_cost, found.time_cost, found.parallelism) == (19 * 1024, 2, 1)
        assert PasswordHasher().verify(ask.args["password_hash"], PASSWORD)
    assert not hasher().check_needs_rehash(ask.args["password_hash"])


def test_three_thousand_passwords_that_are_guessed_first_are_refused() -> None:
    """Of the length that is asked for; each in small letters, as they are compared."""
    words = yaml.safe_load(Path(COMMON).read_text("utf-8"))["passwords"].split()
    assert len(set(words)) >= 3000
    assert [word for word in words if len(word) < 8 or word != word.casefold()] == []


async def test_a_password_needs_what_the_policy_asks_and_nothing_else() -> None:
    """Any characters by default, long ones too; kinds and age only where an assessor wants them."""
    free, strict = SignIn(now_ms, time.monotonic), SignIn(now_ms, time.monotonic, Policy(3, 90))
    await free.warm()
    await strict.warm()
    user = User("duty", "duty", await free.hash("one-time"), None, 0, password_ms=now_ms())
    for password in ("消防站的三声长号在中午响", "only small letters here", "x9y" * 85):
        assert await free.problem_with(user, password) is None
    for password in ("password1", "Trustno1", "short", "duty", "aaaaaaaaaa", "x9y" * 86, "one-time"):
        assert await free.problem_with(user, password) is not None, password
    assert "three of these" in (await strict.problem_with(user, "only small letters here") or "")
    assert await strict.problem_with(user, "Three Kinds, 9") is None
    assert not strict.is_old(user)
    assert strict.is_old(user._replace(password_ms=now_ms() - 91 * 86_400_000))
    assert not free.is_old(user._replace(password_ms=0))


async def test_nobody_is_let_in_while_the_ledger_cannot_be_read_and_open_boards_go_on(station: Station) -> None:
    """Closed for access: no page, no sign-in, no token. Open for alarms: the stream that is open brings the fire."""
    station.user("duty")
    async with station.gateway(), serving(station) as address, Browser(address) as desk, Browser(address) as other:
        await desk.sign_in("duty")
        form = {"csrf": csrf_in((await other.get("/sign-in")).text), "name": "duty", "password": PASSWORD}
        async with desk.stream("GET", "/api/v1/stream") as stream:
            chunks = stream.aiter_bytes()
            await anext(chunks)
            for table in ("user", "session"):
                station.db.execute(f"ALTER TABLE {table} RENAME TO {table}_away")
            assert (await desk.get("/devices")).status_code == 503
            assert (await other.post("/sign-in", data=form)).status_code == 503
            token = {"Authorization": "Bearer " + "x" * 43}
            assert (await other.get("/api/v1/alarms", headers=token)).status_code == 503
            assert (await other.get("/healthz")).status_code == 200
            station.alarm("panel-fire", "shuiye/panel-01/p012", "fire")
            told = b""
            async with asyncio.timeout(20):
                while b"event: alarm" not in told:
                    told += await anext(chunks)
