"""Changes of site files that wait for somebody's yes."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from typing import NamedTuple

from gateway.sites.compare import Comparison

STAGED = 16
"""As many may wait; the oldest go first."""


class Staged(NamedTuple):
    """A checked text that waits for somebody's yes. base: SHA-256 of the text it is compared with."""

    site: str
    text: str
    base: str
    what: Comparison
    devices: int
    person: str


class SiteDesk:
    """What waits for a yes, by an unguessable token; forgotten with the process."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, Staged] = OrderedDict()

    def keep(self, staged: Staged) -> str:
        """Keep one; gives its token."""
        token = secrets.token_urlsafe(16)
        self._waiting[token] = staged
        while len(self._waiting) > STAGED:
            self._waiting.popitem(last=False)
        return token

    def find(self, token: str) -> Staged | None:
        """The one of a token."""
        return self._waiting.get(token)

    def drop(self, token: str) -> None:
        """It was put in force."""
        self._waiting.pop(token, None)
