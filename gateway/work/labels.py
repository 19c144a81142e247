"""Labels on the stops of a route: a QR code that says "somebody stood here", and a short code to type instead. Pure.

    token = <site>.<place>.<signature>        code = eight letters and digits

Both are signed with the ledger's secret. They name a place, not a plan: routes share labels.
"""

from __future__ import annotations

import hmac
from typing import NamedTuple

from gateway.ledger.secret import is_signed, sign

LONGEST = 160
CODE_CHARS = 8
_ALIKE = str.maketrans("018i", "olbl")


class Label(NamedTuple):
    """What is printed for a place."""

    spot: str
    token: str
    code: str


def make_label(secret: bytes, site: str, spot: str) -> Label:
    """The label of a place."""
    return Label(spot, f"{site}.{spot}.{sign(secret, _purpose(site, spot))}", _code(secret, site, spot))


def split_token(token: str) -> tuple[str, str] | None:
    """(site, place) a token speaks of, whoever made it; None when it is none."""
    parts = token.split(".")
    return (parts[0], parts[1]) if len(token) <= LONGEST and len(parts) == 3 and all(parts) else None


def is_token(secret: bytes, token: str, site: str, spot: str) -> bool:
    """Whether the token is the one that hangs there."""
    return token.isascii() and split_token(token) == (site, spot) and is_signed(
        secret, _purpose(site, spot), token.rpartition(".")[2]
    )  # fmt: skip


def is_code(secret: bytes, typed: str, site: str, spot: str) -> bool:
    """Whether what was typed is the code that is printed there; spaces, dashes and case do not matter, nor do letters
    and digits that look alike."""
    plain = "".join(typed.split()).replace("-", "").lower()
    good = _code(secret, site, spot).translate(_ALIKE)
    return hmac.compare_digest(good.encode(), plain.translate(_ALIKE).encode())


def _purpose(site: str, spot: str) -> str:
    return f"label/{site}/{spot}"


def _code(secret: bytes, site: str, spot: str) -> str:
    return sign(secret, f"label-code/{site}/{spot}")[:CODE_CHARS]
