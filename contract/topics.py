"""MQTT topics.

    {root}/{site}/{agent}/alarm       agent -> gateway  batches of the alarm lane
    {root}/{site}/{agent}/telemetry   agent -> gateway  batches of the telemetry lane
    {root}/{site}/{agent}/state       agent -> gateway  retained; also the last will
    {root}/{site}/{agent}/receipt     gateway -> agent  what is durable at the gateway
    {root}/{site}/{agent}/request     gateway -> agent  read a device now

An agent may publish only below its own `{root}/{site}/{agent}/`; the gateway checks the payload's
identity against the topic again.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from contract.errors import MessageError

DEFAULT_ROOT = "weizhan/v1"
IDENT = r"[a-z0-9][a-z0-9_-]{0,47}"
_IDENT = re.compile(IDENT)
UP = ("alarm", "telemetry", "state")
DOWN = ("receipt", "request")


class Address(NamedTuple):
    """A topic taken apart."""

    site: str
    agent: str
    channel: str


def is_ident(text: str) -> bool:
    """Whether the text may name a site, agent, line, device or point."""
    return _IDENT.fullmatch(text) is not None


def topic(root: str, site: str, agent: str, channel: str) -> str:
    """The topic of one channel of one agent."""
    return f"{root}/{site}/{agent}/{channel}"


def parse(root: str, text: str) -> Address:
    """Take a topic apart.

    Raises:
        MessageError: reason `topic`, when the text is no topic of ours.
    """
    prefix = root + "/"
    parts = text[len(prefix) :].split("/") if text.startswith(prefix) else []
    if len(parts) != 3 or not (is_ident(parts[0]) and is_ident(parts[1])) or parts[2] not in UP + DOWN:
        raise MessageError("topic", f"got {text[:120]!r}, want {prefix}<site>/<agent>/<{'|'.join(UP)}>")
    return Address(*parts)
