"""Receipts of messages: a token that proves somebody has the message in front of them, and nothing else.

    token = <number of the message>.<expires, s since 1970, base 36>.<HMAC-SHA256, 128 bits, base64url>

The key is made at the first start and stays in the data folder (notify.key, mode 0600). A token is for one message and
one purpose, works until it expires, and may be used again without effect.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from pathlib import Path

from contract.errors import StartError

FILE = "notify.key"
KEY_BYTES = 32
LONGEST = 80
_PURPOSE = b"weizhan notice receipt v1\n"


def load_key(data_dir: Path) -> bytes:
    """The installation's key, made when there is none. Raises StartError."""
    path = data_dir / FILE
    try:
        if not path.exists():
            fresh = path.with_suffix(".new")
            fresh.unlink(missing_ok=True)
            fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(secrets.token_bytes(KEY_BYTES))
                file.flush()
                os.fsync(file.fileno())
            fresh.rename(path)
        key = path.read_bytes()
    except OSError as exc:
        raise StartError(f"{path}: {exc.strerror}. gateway.data_dir must be a folder we may write.") from exc
    if len(key) != KEY_BYTES:
        raise StartError(f"{path}: got {len(key)} bytes, want {KEY_BYTES}. Delete it; links sent so far stop working.")
    return key


def make_token(key: bytes, number: int, expires_ms: int) -> str:
    """The token of a message."""
    body = f"{number}.{_base36(expires_ms // 1000)}"
    return f"{body}.{_sign(key, body)}"


def read_token(key: bytes, token: str, now_ms: int) -> int | None:
    """The number of the message a token is for; None when it is none of ours or has expired."""
    body, dot, signature = token[:LONGEST].rpartition(".")
    if not dot or not body.isascii() or not hmac.compare_digest(_sign(key, body).encode(), signature.encode()):
        return None
    number, _, expires = body.partition(".")
    return int(number) if int(expires, 36) * 1000 > now_ms else None


def _sign(key: bytes, body: str) -> str:
    made = hmac.new(key, _PURPOSE + body.encode(), hashlib.sha256).digest()[:16]
    return base64.urlsafe_b64encode(made).decode().rstrip("=")


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, rest = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[rest] + digits
    return digits or "0"
