"""Text fields: GB 18030, ended by NUL or padded with spaces, and what real senders put there instead."""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

from contract.errors import MessageError

DESCRIPTION_BYTES = 31
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_LONGEST_CHARACTER = 4


class Text(msgspec.Struct, frozen=True):
    """The bytes of a text field as they came. Whatever they hold, this never raises on reading."""

    raw: bytes

    @property
    def text(self) -> str | None:
        """Text up to the first NUL without trailing spaces; "" when blank, None when the bytes are no text."""
        return _read(self.raw)[0]

    @property
    def is_cut(self) -> bool:
        """Whether the field ends in the middle of a character, which is then left out of `text`."""
        return _read(self.raw)[1]

    @property
    def leftover(self) -> bytes:
        """Bytes after the first NUL that are neither NUL nor space: rubbish of an earlier text, or vendor data."""
        return self.raw.partition(b"\0")[2].strip(b"\0 ")


@lru_cache(2048)
def _read(raw: bytes) -> tuple[str | None, bool]:
    """Text, and whether its last character is cut. Remembered: a component is described alike each time."""
    head, nul, _ = raw.partition(b"\0")
    is_cut = False
    try:
        text = head.decode("gb18030")
    except UnicodeDecodeError as exc:
        # A sender that fills the field to its last byte may cut a character in two; anything else is no text.
        is_cut = not nul and exc.start > 0 and len(head) - exc.start < _LONGEST_CHARACTER and exc.end == len(head)
        if not is_cut:
            return None, False
        try:
            text = head[: exc.start].decode("gb18030")
        except UnicodeDecodeError:
            return None, False
    return (None, False) if _CONTROL.search(text) else (text.rstrip(" "), is_cut)


def text_field(text: str, size: int = DESCRIPTION_BYTES) -> Text:
    """The text in exactly `size` bytes, padded with NUL.

    Raises:
        MessageError: reason `text`, when it does not fit or holds control characters.
    """
    raw = _encode(text)
    if len(raw) > size:
        raise MessageError(
            "text", f"got {len(raw)} bytes of GB 18030, want at most {size}. Shorten it or use fit_text."
        )
    return Text(raw.ljust(size, b"\0"))


def fit_text(text: str, size: int = DESCRIPTION_BYTES) -> Text:
    """As text_field, the text shortened to whole characters where it is too long."""
    while len(_encode(text)) > size:
        # Each character takes at most four bytes, so this many are too much for certain; at least one.
        text = text[: -max(1, (len(_encode(text)) - size) // _LONGEST_CHARACTER)]
    return text_field(text, size)


def free_text(text: str) -> Text:
    """The text without padding, for fields that carry their own length (at most 255 bytes).

    Raises:
        MessageError: reason `text`.
    """
    raw = _encode(text)
    if len(raw) > 255:
        raise MessageError("text", f"got {len(raw)} bytes of GB 18030, want at most 255. Shorten it.")
    return Text(raw)


def _encode(text: str) -> bytes:
    if found := _CONTROL.search(text):
        raise MessageError("text", f"got control character {found[0]!r}, want printable text. Take it out.")
    return text.encode("gb18030")
