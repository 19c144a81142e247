"""The head of the audit chain, signed, to be kept somewhere else: against it a tail that was cut off shows.

    {"ledger": public key, "id": 17, "hash": ..., "at_ms": ..., "signature": Ed25519 over the line id:hash:at_ms}

The key follows from the ledger's own secret, so it needs no file of its own and goes with the ledger's backup. Whoever
has an earlier head, or wrote the public key down, can tell that two heads are of one ledger.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from contract.errors import ConfigError
from gateway.ledger.audit import Head
from gateway.ledger.secret import derive

PURPOSE = "audit-head"
MOST_BYTES = 4096
Hex = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]


class SignedHead(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A head as it is exported. ledger: public key, hex; signature: hex."""

    ledger: Hex
    id: Annotated[int, msgspec.Meta(ge=0)]
    hash: Hex
    at_ms: int
    signature: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{128}$")]

    @property
    def head(self) -> Head:
        """What it says."""
        return Head(self.id, self.hash)

    def is_genuine(self) -> bool:
        """Whether the signature is that of the key it names."""
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(self.ledger))
        try:
            key.verify(bytes.fromhex(self.signature), _line(self.head, self.at_ms))
        except InvalidSignature:
            return False
        return True


def public_key(secret: bytes) -> str:
    """The key that heads of this ledger can be checked with, hex."""
    return _key(secret).public_key().public_bytes_raw().hex()


def sign_head(secret: bytes, head: Head, at_ms: int) -> SignedHead:
    """The head, signed by the ledger."""
    signature = _key(secret).sign(_line(head, at_ms)).hex()
    return SignedHead(public_key(secret), head.id, head.hash, at_ms, signature)


def read_head(text: str) -> Head:
    """A head given to a command: `ID:HASH`, or the path of a signed head. Raises ConfigError."""
    number, _, digest = text.partition(":")
    if number.isdigit() and len(digest) == 64:
        return Head(int(number), digest)
    path = Path(text)
    try:
        with path.open("rb") as file:
            signed = msgspec.json.decode(file.read(MOST_BYTES), type=SignedHead)
    except (OSError, msgspec.MsgspecError) as exc:
        raise ConfigError(
            f"--head: got {text!r}, want ID:HASH as this command printed it, or an exported head."
        ) from exc
    if not signed.is_genuine():
        raise ConfigError(f"--head: got {text!r}, whose signature does not fit, want it as it was exported.")
    return signed.head


def _key(secret: bytes) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(derive(secret, PURPOSE))


def _line(head: Head, at_ms: int) -> bytes:
    return f"weizhan audit head {head.id}:{head.hash}:{at_ms}".encode()
