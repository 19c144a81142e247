"""The ledger's own secret: made at its first start, never told, and what is derived from it for one purpose each."""

from __future__ import annotations

import hmac
import secrets
import sqlite3
from base64 import b32encode

SECRET = "secret"  # noqa: S105 # the name of the row, not what is in it
"""meta key: 256 random bits, hex. Who has them knows when duty checks come and can sign the codes that are printed."""


def make_secret() -> str:
    """A fresh one, as the ledger keeps it."""
    return secrets.token_hex(32)


def load_secret(connection: sqlite3.Connection) -> bytes:
    """The secret of this ledger."""
    return bytes.fromhex(connection.execute("SELECT value FROM meta WHERE key = ?", (SECRET,)).fetchone()[0])


def derive(secret: bytes, purpose: str) -> bytes:
    """32 bytes that belong to a purpose (words joined by `/`) and tell nothing of those of another."""
    return hmac.digest(secret, purpose.encode(), "sha256")


def sign(secret: bytes, purpose: str) -> str:
    """A code of 26 letters and digits (128 bits) for a printed link, which only this ledger can make."""
    return b32encode(derive(secret, purpose)[:16]).decode().rstrip("=").lower()


def is_signed(secret: bytes, purpose: str, code: str) -> bool:
    """Whether the code is the one for that purpose."""
    return hmac.compare_digest(sign(secret, purpose).encode(), code.lower().encode())
