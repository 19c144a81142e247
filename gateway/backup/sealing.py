"""The key of backups: signs what is in one, and seals the few secrets that must be in it.

key file: 64 hex digits, mode 0600
signature = HMAC-SHA256(derived key, manifest)      sealed = nonce (12 bytes) + AES-256-GCM of a JSON object
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from contract.errors import ConfigError, RetryLater

KEY_BYTES = 32
NONCE_BYTES = 12
_LABEL = b"weizhan backup secrets v1"


def load_key(path: Path, *, make: bool = False) -> bytes:
    """The key of a file, made when there is none and `make` says so. Raises ConfigError, RetryLater."""
    try:
        if make and not path.exists():
            _make(path)
        mode = path.stat().st_mode
        text = path.read_text("ascii", "replace").strip()
    except FileNotFoundError as exc:
        raise ConfigError(
            f"{path}: got no key of backups, want the one they were made with. Put its copy there."
        ) from exc
    except OSError as exc:
        raise RetryLater(f"{path}: {exc.strerror}. The key of backups must be readable.") from exc
    if mode & 0o077:
        raise ConfigError(f"{path}: got mode {mode & 0o777:04o}, want 0600. chmod 600 {path}.")
    if len(text) != 2 * KEY_BYTES or not set(text) <= set("0123456789abcdef"):
        raise ConfigError(f"{path}: got {len(text)} characters, want {2 * KEY_BYTES} hex digits.")
    return bytes.fromhex(text)


def _make(path: Path) -> None:
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(secrets.token_hex(KEY_BYTES) + "\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)


def key_name(key: bytes) -> str:
    """What tells two keys apart and gives nothing away."""
    return hashlib.sha256(b"weizhan backup key name\n" + key).hexdigest()[:16]


def sign(key: bytes, text: bytes) -> str:
    """The signature of a manifest, hex."""
    return hmac.new(hmac.digest(key, b"manifest", "sha256"), text, hashlib.sha256).hexdigest()


def is_signed(key: bytes, text: bytes, signature: str) -> bool:
    """Whether that is its signature."""
    return hmac.compare_digest(sign(key, text).encode(), signature.encode())


def seal(key: bytes, kept: dict[str, str]) -> bytes:
    """Secrets that only the key opens."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + AESGCM(hmac.digest(key, b"secrets", "sha256")).encrypt(nonce, msgspec.json.encode(kept), _LABEL)


def unseal(key: bytes, sealed: bytes) -> dict[str, str]:
    """The secrets. Raises ConfigError for another key."""
    cipher = AESGCM(hmac.digest(key, b"secrets", "sha256"))
    try:
        return msgspec.json.decode(
            cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _LABEL), type=dict[str, str]
        )
    except (InvalidTag, ValueError, msgspec.MsgspecError) as exc:
        raise ConfigError("backup: its secrets do not open with this key, want the key it was made with.") from exc
