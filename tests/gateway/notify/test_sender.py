"""Messages go out to real servers that are slow, hang, fail, redirect or never end."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import logging
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.notify.receipts import read_token
from gateway.notify.targets import NUMBER, SIGNATURE, TIMESTAMP
from tests.gateway.notify import servers
from tests.gateway.notify.mailbox import mailbox
from tests.gateway.notify.sending import KEY, SECRET, Office, hook, now_ms, office, secret_file, settings_for
from tests.gateway.notify.servers import Answer, server
from tests.gateway.notify.station import alarm


async def until(true: Callable[[], bool], within_s: float = 10.0) -> None:
    async with asyncio.timeout(within_s):
        while not true():
            await asyncio.sleep(0.01)


async def settled(desk: Office, state: str = "sent", within_s: float = 10.0) -> None:
    async with asyncio.timeout(within_s):
        while {row[1] for row in await desk.rows()} != {state}:
            await asyncio.sleep(0.01)


async def test_a_webhook_gets_signed_json_with_a_receipt_when_a_fire_is_told(tmp_path: Path) -> None:
    """The signature is over timestamp and body; the receipt names this message and nothing else."""
    async with server() as there, office(tmp_path, settings_for([hook(tmp_path, "wang", there)])) as desk:
        desk.planner.alarm_moved(alarm(7), "raise", now_ms())
        await desk.turn()
        (post,) = await there.posted(1)
        signed = f"{post.headers[TIMESTAMP.lower()]}.".encode() + post.body
        want = "v1=" + hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
        assert post.headers[SIGNATURE.lower()] == want
        assert post.headers[NUMBER.lower()] == "1"
        assert (post.json["alarms"], post.json["severity"], post.json["test"]) == ([7], "fire", False)
        assert read_token(KEY, post.json["receipt"], now_ms()) == 1
        await settled(desk)


async def test_delivered_is_told_apart_from_sent_when_the_answer_carries_the_receipt(tmp_path: Path) -> None:
    """A 200 is sent; only the receipt is delivered."""
    async with server(servers.receipt) as good, server() as mute:
        people = [hook(tmp_path, "wang", good), hook(tmp_path, "li", mute)]
        async with office(tmp_path, settings_for(people)) as desk:
            desk.planner.alarm_moved(alarm(1), "raise", now_ms())
            await desk.turn()
            await settled(desk)
            rows = await desk.rows("person, delivered_ms IS NOT NULL, read_ms IS NOT NULL")
            assert rows == [("wang", 1, 0), ("li", 0, 0)]


@pytest.mark.parametrize(
    "bad", [servers.hang, servers.slow, servers.fail, servers.redirect], ids=["hung", "slow", "failing", "redirecting"]
)
async def test_nobody_else_waits_when_one_target_is_bad(tmp_path: Path, bad: Answer) -> None:
    """Twenty fires are with the good target long before the bad one's first time limit."""
    async with server(bad) as sick, server() as good:
        people = [hook(tmp_path, "sick", sick), hook(tmp_path, "well", good)]
        async with office(tmp_path, settings_for(people, timeout_s=5.0)) as desk:
            began_s = time.monotonic()
            for number in range(1, 21):
                desk.planner.alarm_moved(alarm(number), "raise", now_ms())
            await desk.turn()
            posts = await good.posted(20)
            assert posts[-1].at_s - began_s < 4.0


async def test_a_fire_does_not_wait_when_a_fault_hangs_in_the_same_target(tmp_path: Path) -> None:
    """Each way has a worker a lane."""
    async with server(servers.hang) as there:
        people = [hook(tmp_path, "wang", there)]
        async with office(tmp_path, settings_for(people, timeout_s=5.0)) as desk:
            desk.planner.alarm_moved(alarm(1, "warning"), "raise", now_ms())
            await desk.turn()
            await desk.turn()
            await there.posted(1)
            there.answer = servers.ok
            began_s = time.monotonic()
            desk.planner.alarm_moved(alarm(2), "raise", now_ms())
            await desk.turn()
            posts = await there.posted(2)
            assert posts[1].json["severity"] == "fire"
            assert posts[1].at_s - began_s < 3.0


async def test_it_is_sent_in_the_end_and_the_log_says_it_once_when_a_target_fails_for_a_while(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One warning at the change to bad, one note at the change back; no secret in either."""
    caplog.set_level(logging.INFO)
    async with server(servers.fail) as there, office(tmp_path, settings_for([hook(tmp_path, "wang", there)])) as desk:
        desk.planner.alarm_moved(alarm(1), "raise", now_ms())
        await desk.turn()
        await there.posted(4)
        assert desk.parts.ways.failing
        there.answer = servers.ok
        await settled(desk)
        assert not desk.parts.ways.failing
        assert desk.sender.counts["sent"] == 1
        ours = [record.getMessage() for record in caplog.records if record.name.startswith("gateway")]
        assert ours == [
            "messages to wang by hook do not go out: got 503, want 2xx",
            "messages to wang by hook go out again",
        ]


async def test_it_is_given_up_with_its_reason_when_a_fault_cannot_be_sent_in_time(tmp_path: Path) -> None:
    """A fault is tried for keep_trying_s; a fire as long as it stands."""
    async with server(servers.fail) as there:
        people = [hook(tmp_path, "wang", there)]
        async with office(tmp_path, settings_for(people)) as desk:
            desk.planner.add("wang", "hook", "alarm", desk.planner._writer.test(0), now_ms(), now_ms() + 600, "")
            await desk.turn()
            await settled(desk, "failed")
            ((_, _, attempts, error),) = await desk.rows()
            assert attempts >= 2
            assert error == "got 503, want 2xx"


async def test_it_is_not_sent_any_more_when_it_is_acknowledged_meanwhile(tmp_path: Path) -> None:
    """The reason stands in the ledger."""
    async with server(servers.fail) as there, office(tmp_path, settings_for([hook(tmp_path, "wang", there)])) as desk:
        desk.planner.alarm_moved(alarm(1), "raise", now_ms())
        await desk.turn()
        await there.posted(2)
        desk.planner.alarm_moved(alarm(1, state="acknowledged"), "acknowledge", now_ms())
        await desk.turn()
        await settled(desk, "stopped")
        assert (await desk.rows())[0][3] == "acknowledged"


async def test_no_all_clear_is_sent_when_nobody_could_be_told_of_the_fault(tmp_path: Path) -> None:
    """To hear that something is over one has to have heard of it."""
    async with server(servers.fail) as there, office(tmp_path, settings_for([hook(tmp_path, "wang", there)])) as desk:
        first = desk.planner.add("wang", "hook", "alarm", desk.planner._writer.test(0), now_ms(), now_ms() + 300, "")
        await desk.turn()
        await settled(desk, "failed")
        plans = await desk.turn()
        desk.planner.add("wang", "hook", "clear", desk.planner._writer.test(0), now_ms(), now_ms() + 9000, "")
        plans = desk.planner.take()
        plans.notices = [notice._replace(follows=[first]) for notice in plans.notices]
        await desk.store.run(plans.write)
        desk.sender.planned(plans)
        async with asyncio.timeout(5):
            while [row[1] for row in await desk.rows()] != ["failed", "stopped"]:
                await asyncio.sleep(0.01)
        assert (await desk.rows())[1][3] == "nobody was told of it"


async def test_at_most_one_message_is_repeated_when_the_sender_dies_while_sending(tmp_path: Path) -> None:
    """Ten fires, a target that takes each and never answers; the next start sends ten, of which one came before."""
    async with server(servers.hang) as there:
        people = [hook(tmp_path, "wang", there)]
        settings = settings_for(people, timeout_s=30.0)
        async with office(tmp_path, settings) as desk:
            for number in range(1, 11):
                desk.planner.alarm_moved(alarm(number), "raise", now_ms())
            await desk.turn()
            await there.posted(1)
            states = [row[1] for row in await desk.rows()]
            assert states == ["sending", *["planned"] * 9]
            for task in desk.sender._tasks:
                task.cancel()  # as kill -9 would: no result is written down
        there.answer = servers.ok
        async with office(tmp_path, settings) as desk:
            await there.posted(11)
            await settled(desk)
            ids = [post.headers[NUMBER.lower()] for post in there.posts]
            assert sorted(set(ids), key=int) == [str(n) for n in range(1, 11)]
            assert len(ids) - len(set(ids)) == 1


async def test_the_answer_is_cut_off_when_it_never_ends(tmp_path: Path) -> None:
    """Sent, no more than a few kilobytes read."""
    async with server(servers.endless) as there:
        people = [hook(tmp_path, "wang", there)]
        async with office(tmp_path, settings_for(people)) as desk:
            desk.planner.alarm_moved(alarm(1), "raise", now_ms())
            await desk.turn()
            await settled(desk)


async def test_a_redirect_is_not_followed_when_a_target_gives_one(tmp_path: Path) -> None:
    """One request a try, and all to the configured path."""
    async with server(servers.redirect) as there, office(tmp_path, settings_for([hook(tmp_path, "w", there)])) as desk:
        desk.planner.alarm_moved(alarm(1), "raise", now_ms())
        await desk.turn()
        await there.posted(2)
        await until(lambda: desk.sender.counts["tries_failed"] >= 2)
        assert (await desk.rows())[0][3] == "got 307, a redirect, which is not followed"


async def test_apprise_speaks_to_a_real_server_and_hides_its_secret_when_that_fails(tmp_path: Path) -> None:
    """A service of apprise, first refusing, then taking it; the reason carries no part of the address."""
    async with server(servers.fail) as there:
        url = secret_file(tmp_path, "url", f"json://someuser:canarypassword@127.0.0.1:{there.port}/canarypath")
        person = {"id": "wang", "name": "w", "channels": [{"kind": "apprise", "id": "a", "url_file": url}]}
        settings = settings_for([person], schemes=["json"], private_addresses=True, timeout_s=5.0)
        async with office(tmp_path, settings) as desk:
            desk.planner.alarm_moved(alarm(1), "raise", now_ms())
            await desk.turn()
            await there.posted(2)
            await until(lambda: desk.sender.counts["tries_failed"] >= 1)
            error = (await desk.rows())[0][3]
            assert error
            assert "canary" not in error
            there.answer = servers.ok
            await settled(desk)
            assert "先看" in there.posts[-1].json["message"]


async def test_a_mail_holds_a_name_as_text_when_the_name_is_markup(tmp_path: Path) -> None:
    """Whatever part of the letter a reader shows: the tag of the name is none there."""
    name = "<img src=x onerror=alert(1)>"
    async with mailbox() as box:
        url = secret_file(tmp_path, "url", f"mailto://127.0.0.1:{box.port}?from=a@example.cn&to=wang@example.cn")
        person = {"id": "wang", "name": "w", "channels": [{"kind": "apprise", "id": "a", "url_file": url}]}
        settings = settings_for([person], private_addresses=True, timeout_s=5.0)
        async with office(tmp_path, settings) as desk:
            desk.planner.alarm_moved(alarm(1, subject=f"s/{name}/p", device=name), "raise", now_ms())
            await desk.turn()
            await settled(desk)
    (letter,) = box.letters
    assert name in letter["subject"]
    parts = [part for part in letter.walk() if not part.is_multipart()]
    assert [part.get_content_type() for part in parts if name in part.get_content()] in ([], ["text/plain"])
    assert all("先看" in part.get_content() for part in parts)


async def test_a_thread_that_hangs_delays_nobody_when_a_service_of_apprise_never_answers(tmp_path: Path) -> None:
    """The call is given up at its time limit; the other person has the message."""
    async with server(servers.hang) as sick, server() as good:
        url = secret_file(tmp_path, "url", f"json://127.0.0.1:{sick.port}/x")
        person = {"id": "sick", "name": "s", "channels": [{"kind": "apprise", "id": "a", "url_file": url}]}
        people = [person, hook(tmp_path, "well", good)]
        settings = settings_for(people, schemes=["json"], private_addresses=True, timeout_s=0.5)
        async with office(tmp_path, settings) as desk:
            desk.planner.alarm_moved(alarm(1), "raise", now_ms())
            await desk.turn()
            await good.posted(1)
            await until(lambda: desk.sender.counts["tries_failed"] >= 1)
            assert (await desk.rows())[0][3] == "no answer within 0.5 s"


async def test_the_screens_get_the_message_with_its_receipt_when_a_person_has_a_screen(tmp_path: Path) -> None:
    """The live feed carries it."""
    person = {"id": "duty", "name": "d", "channels": [{"kind": "screen"}]}
    async with office(tmp_path, settings_for([person])) as desk:
        desk.planner.alarm_moved(alarm(1), "raise", now_ms())
        await desk.turn()
        await settled(desk)
        (event,) = [event for event in desk.events if event.event == "notice"]
        assert event.data["alarms"] == [1]
        assert read_token(KEY, event.data["receipt"], now_ms()) == 1


async def test_every_message_is_counted_when_the_sender_stops(tmp_path: Path) -> None:
    """planned = sent + failed + expired + stopped + pending."""
    async with server() as there, office(tmp_path, settings_for([hook(tmp_path, "wang", there)])) as desk:
        for number in range(1, 9):
            desk.planner.alarm_moved(alarm(number), "raise", now_ms())
        await desk.turn()
        with contextlib.suppress(TimeoutError):
            await there.posted(5)
        counts, pending = desk.sender.counts, desk.sender.status()["pending"]
        ended = sum(counts[state] for state in ("sent", "failed", "expired", "stopped"))
        assert counts["planned"] == ended + pending == 8
