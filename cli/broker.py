"""The embedded broker, for trial on one machine: amqtt on loopback, with the same users and rights as deploy/mosquitto.

Not for production: amqtt keeps sessions in memory without a bound and does not expire them
(docs/decisions says why). Real sites run Mosquitto; that is a setting, not a rewrite.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path

from amqtt.broker import Broker
from amqtt.contexts import Action, BaseContext
from amqtt.plugins.base import BaseAuthPlugin, BaseTopicPlugin
from amqtt.session import Session

from contract.topics import DEFAULT_ROOT, DOWN, UP

GATEWAY = "gateway"


class Passwords(BaseAuthPlugin):  # type: ignore[misc]  # amqtt has no types
    """Signs in the users of the password list; nobody else, nobody anonymous."""

    async def authenticate(self, *, session: Session) -> bool | None:
        """Whether user and password are right."""
        known: dict[str, str] = self.config.users  # the Config below
        wanted = known.get(session.username or "")
        return wanted is not None and hmac.compare_digest(wanted.encode(), (session.password or "").encode())

    @dataclass
    class Config:
        """User name -> password."""

        users: dict[str, str] = field(default_factory=dict)


class OwnPrefix(BaseTopicPlugin):  # type: ignore[misc]  # amqtt has no types
    """An agent writes its own up topics and reads its own down topics; the gateway the reverse, for all."""

    def __init__(self, context: BaseContext) -> None:
        super().__init__(context)
        self._root = DEFAULT_ROOT

    async def topic_filtering(
        self, *, session: Session | None = None, topic: str | None = None, action: Action | None = None
    ) -> bool | None:
        """Whether this user may do this on this topic."""
        user = session.username if session else None
        if user is None or topic is None:
            return False
        head, _, channel = topic.rpartition("/")
        mine = (
            (UP if action == Action.PUBLISH else DOWN)
            if user != GATEWAY
            else (DOWN if action == Action.PUBLISH else UP)
        )
        if channel not in mine:
            return False
        if user == GATEWAY:
            return head.startswith(self._root + "/")
        return head == f"{self._root}/{user}"


async def serve(port: int, users: dict[str, str]) -> None:
    """Run the broker on loopback until SIGTERM.

    Args:
        users: user name -> password.
    """
    logging.getLogger("amqtt").setLevel(logging.ERROR)
    logging.getLogger("transitions").setLevel(logging.ERROR)
    broker = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
            "plugins": {"cli.broker.Passwords": {"users": users}, "cli.broker.OwnPrefix": {}},
        }
    )
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await broker.start()
    print(json.dumps({"ready": True, "port": port}), flush=True)
    await stop.wait()
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text("utf-8"))))
