"""Where messages may go, and what they may give away."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from gateway.notify.check import wrong_service
from gateway.notify.outbox import Notice
from gateway.notify.receipts import load_key, make_token, read_token
from gateway.notify.settings import NotifySettings, WebhookChannel
from gateway.notify.targets import (
    Letter,
    NotSent,
    WebhookTarget,
    checked_address,
    hosts_of,
    redact,
    refused_address,
    secret_parts,
)
from gateway.notify.texts import Message
from tests.gateway.notify.sending import SECRET, secret_file
from tests.gateway.notify.servers import server

PRIVATE = ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "::1", "fd00::1", "::ffff:10.0.0.1"]
NEVER = ["169.254.169.254", "fe80::1", "0.0.0.0", "224.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe",
         "2002:a9fe:a9fe::1", "255.255.255.255"]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_a_private_address_is_refused_when_the_settings_do_not_allow_it(address: str) -> None:
    """And taken when they do."""
    assert refused_address(address, private=False) is not None
    assert refused_address(address, private=True) is None


@pytest.mark.parametrize("address", NEVER)
def test_link_local_and_the_like_are_refused_when_private_addresses_are_allowed(address: str) -> None:
    """The metadata service of a cloud is never a target, in no spelling."""
    assert refused_address(address, private=True) is not None


def test_a_public_address_is_taken_when_nothing_is_allowed() -> None:
    """The normal case."""
    assert refused_address("203.0.114.7", private=False) is None


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "127.1", "localhost", "127.0.0.1"])
async def test_no_spelling_of_this_machine_gets_through_when_private_addresses_are_refused(host: str) -> None:
    """What the system's resolver makes of it is what is looked at."""
    with pytest.raises(NotSent, match="private network"):
        await checked_address(host, 443, private=False)


class Answers:
    """A resolver that gives another answer each time: DNS rebinding."""

    def __init__(self, *answers: str) -> None:
        self.left = list(answers)

    async def getaddrinfo(self, host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (self.left.pop(0), port))]


async def test_the_connection_goes_to_the_address_that_was_checked_when_the_name_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name is resolved once; a second answer is never asked for."""
    answers = Answers("127.0.0.1", "169.254.169.254")
    async with server() as there:
        channel = WebhookChannel(
            kind="webhook", id="h", url=f"http://localhost:{there.port}/x",
            secret_file=Path(secret_file(tmp_path, "s", SECRET)),
        )  # fmt: skip
        target = WebhookTarget(channel, NotifySettings(), "zh")
        loop = asyncio.get_running_loop()
        real = loop.getaddrinfo

        async def resolve(host: Any, port: Any, **more: Any) -> Any:
            # The library resolves what it is handed again: a literal address is all it may ever be handed.
            if host == "localhost":
                return await answers.getaddrinfo(host, port)
            assert host == "127.0.0.1"
            return await real(host, port, **more)

        monkeypatch.setattr(loop, "getaddrinfo", resolve)
        await target.send(letter())
        assert len(there.posts) == 1
        assert there.posts[0].headers["host"] == f"localhost:{there.port}"
        assert answers.left == ["169.254.169.254"]


async def test_http_goes_nowhere_but_to_this_machine_when_its_name_points_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`http://localhost` with a resolver that says otherwise."""
    channel = WebhookChannel(
        kind="webhook", id="h", url="http://localhost:9/x", secret_file=Path(secret_file(tmp_path, "s", SECRET))
    )
    target = WebhookTarget(channel, NotifySettings(), "zh")
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", Answers("10.0.0.1").getaddrinfo)
    with pytest.raises(NotSent, match="this machine only"):
        await target.send(letter())


def letter() -> Letter:
    notice = Notice(1, "wang", "h", "fire", "alarm", "fire", [1], Message("火", "fire", "x", "x"), 0, None)
    return Letter(notice, 1, "1.abc.def", None)


@pytest.mark.parametrize(
    "url",
    ["syslog://", "file:///etc/passwd", "exec://x", "dbus://", "windows://", "json://h/x", "mqtt://h/t", "x",
     "https://oapi.dingtalk.com/robot/send?access_token=abc", "DBUS://x", " dingtalk://x"],
)  # fmt: skip
def test_a_service_is_refused_when_it_is_not_on_the_list(url: str) -> None:
    """And the reason holds nothing of the address but its first word."""
    why = wrong_service(url, NotifySettings().schemes)
    assert why is not None
    assert "access_token" not in why


@pytest.mark.parametrize(
    "url", ["dingtalk://token@secret", "wecombot://key", "feishu://token", "mailtos://u:p@x.cn", "ntfys://h/t"]
)
def test_a_service_is_taken_when_it_is_on_the_list(url: str) -> None:
    """The services of the documentation."""
    assert wrong_service(url, NotifySettings().schemes) is None


def test_only_hosts_of_ones_own_are_looked_up_when_an_address_may_hold_a_token() -> None:
    """A token must not be asked of a name server."""
    assert list(hosts_of("dingtalk://abcdef0123456789")) == []
    assert list(hosts_of("mailtos://u:p@qq.com?smtp=10.0.0.5")) == ["qq.com", "10.0.0.5"]
    assert list(hosts_of("ntfy://2130706433/topic")) == ["2130706433"]


def test_no_part_of_a_secret_is_left_when_an_error_quotes_the_address() -> None:
    """User, password, path, query, plain or quoted."""
    url = "mailtos://someuser:s3cr%2Fet@smtp.example.cn?from=alarm@example.cn&key=canary"
    hidden = sorted(secret_parts(url), key=len, reverse=True)
    text = redact("cannot send as someuser with s3cr/et or s3cr%2Fet, key canary", hidden)
    assert text == "cannot send as *** with *** or ***, key ***"


def test_a_receipt_names_its_message_until_it_expires_and_no_other(tmp_path: Path) -> None:
    """The key stays the same over restarts; a changed or foreign token is none."""
    key = load_key(tmp_path)
    assert load_key(tmp_path) == key
    assert (tmp_path / "notify.key").stat().st_mode & 0o777 == 0o600
    token = make_token(key, 42, 2_000_000)
    assert read_token(key, token, 1_999_000) == 42
    assert read_token(key, token, 2_000_000) is None
    assert read_token(b"x" * 32, token, 0) is None
    for n, letter_ in enumerate(token):
        changed = token[:n] + ("0" if letter_ != "0" else "1") + token[n + 1 :]
        assert read_token(key, changed, 0) in (None, 42 if changed == token else None)
    for odd in ("", ".", "..", "a.b.c", "é.1.x", "9" * 500):
        assert read_token(key, odd, 0) is None
