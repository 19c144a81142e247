"""Where a webhook never leads: judged at the connection itself. Nothing is sent in these tests."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from gateway.notify.settings import NotifySettings, WebhookChannel
from gateway.notify.targets import NotSent, WebhookTarget
from tests.gateway.notify.sending import SECRET, secret_file
from tests.gateway.notify.test_targets import letter

PUBLIC = "203.0.114.7"
FORBIDDEN = (
    "127.0.0.1", "127.255.255.254", "0.0.0.0", "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.254",
    "192.168.0.1", "192.168.255.254", "169.254.169.254", "169.254.1.1", "100.64.0.1", "224.0.0.1", "255.255.255.255",
    "::1", "::", "fe80::1", "fd00::1", "fc00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
    "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:a9fe:a9fe::1",
)  # fmt: skip
"""What a name may point to."""
SPELLINGS = (
    "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "127.1", "127.0.1", "2852039166", "0xa9fea9fe",
    "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:a9fe:a9fe]", "[64:ff9b::7f00:1]",
)  # fmt: skip
"""Forms of addresses that need no name."""


class Net:
    """The resolver and the last step before the wire: which addresses a connection was begun to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: str) -> None:
        self.begun: list[str] = []
        self._answers = list(answers)
        loop = asyncio.get_running_loop()
        real = loop.getaddrinfo

        async def resolve(host: Any, port: Any, **more: Any) -> Any:
            name = host.decode() if isinstance(host, bytes) else str(host)
            if name.endswith(".example"):
                address = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
                family = socket.AF_INET6 if ":" in address else socket.AF_INET
                tail = (0, 0) if family == socket.AF_INET6 else ()
                return [(family, socket.SOCK_STREAM, 6, "", (address, port, *tail))]
            more["flags"] = socket.AI_NUMERICHOST  # a name of any other kind must not reach a real resolver
            return await real(name, port, **more)

        async def connect(sock: socket.socket, address: Any) -> None:
            self.begun.append(str(address[0]))
            raise ConnectionRefusedError("no packet leaves this test")

        monkeypatch.setattr(loop, "getaddrinfo", resolve)
        monkeypatch.setattr(loop, "sock_connect", connect)


def _target(folder: Path, host: str, **settings: Any) -> WebhookTarget:
    secret = Path(secret_file(folder, "s", SECRET))
    channel = WebhookChannel(kind="webhook", id="h", url=f"https://{host}/x", secret_file=secret)
    return WebhookTarget(channel, NotifySettings(**settings), "zh")


async def test_no_connection_is_begun_when_a_name_points_to_what_is_forbidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loopback, private, link-local, multicast, unspecified, and IPv4 inside IPv6: 0 connections."""
    for address in FORBIDDEN:
        with monkeypatch.context() as patch:
            net = Net(patch, address)
            with pytest.raises(NotSent, match="address is"):
                await _target(tmp_path, "hook.example").send(letter())
            assert net.begun == [], address


async def test_no_connection_is_begun_when_an_address_is_spelt_oddly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decimal, hexadecimal, octal, short and mapped forms of this machine and of the metadata service."""
    net = Net(monkeypatch, PUBLIC)
    for host in SPELLINGS:
        with pytest.raises(NotSent):
            await _target(tmp_path, host).send(letter())
    assert net.begun == []


async def test_the_first_answer_alone_is_connected_to_when_a_name_changes_its_mind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rebinding: what was checked is what is connected to; a bad first answer is no connection at all."""
    net = Net(monkeypatch, PUBLIC, "127.0.0.1")
    with pytest.raises(NotSent, match="no connection"):
        await _target(tmp_path, "hook.example").send(letter())
    assert net.begun == [PUBLIC]
    with monkeypatch.context() as patch:
        net = Net(patch, "127.0.0.1", PUBLIC)
        with pytest.raises(NotSent, match="private network"):
            await _target(tmp_path, "hook.example").send(letter())
        assert net.begun == []


async def test_link_local_stays_forbidden_when_private_addresses_are_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One's own network is a choice; the metadata service of a cloud is none."""
    for address, reached in (("192.168.1.9", True), ("169.254.169.254", False), ("fe80::1", False)):
        with monkeypatch.context() as patch:
            net = Net(patch, address)
            with pytest.raises(NotSent):
                await _target(tmp_path, "hook.example", private_addresses=True).send(letter())
            assert (net.begun == [address]) is reached
