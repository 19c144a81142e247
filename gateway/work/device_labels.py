"""Labels on devices: a QR code that opens one page about that device, for anybody who stands before it, for a time.

    token = <number of the row>.<signature>      signed with the ledger's secret over number, device and expiry

The row says until when it holds and can be revoked; what was printed then opens nothing any more. The page tells who
the device is, how it is now and when it was last inspected, and leads nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from gateway.ledger.entries import GATEWAY, Entry, Kind, Pen, Register, SavedEntries, Sheet
from gateway.ledger.secret import is_signed, sign

DAY_MS = 86_400_000
MOST_DAYS = 1096
MOST_AT_ONCE = 2000
"""Labels of one command; a site with more devices has them printed in parts."""
State = Literal["active", "revoked", "expired"]


class DeviceLabel(Entry, frozen=True, kw_only=True):
    """A label. state: active | revoked | expired. until_ms: when it expires, or was revoked. scope: what it opens."""

    device: str
    by: str
    expires_ms: int
    scope: Literal["status"] = "status"
    ended_by: str = ""
    note: str = ""


LABEL = Kind("label", DeviceLabel, frozenset({"active"}), live=False)


class DeviceLabels(Register):
    """The labels that hold."""

    def __init__(self, saved: SavedEntries) -> None:
        self.sheet = Sheet(LABEL, saved)
        self._of = {(row.site, row.device): row for row in self.sheet.rows.values()}
        self._due_ms = self._first()  # kept, as it is asked for in every turn

    def sheets(self) -> Iterable[Sheet[DeviceLabel]]:
        """Labels."""
        return (self.sheet,)

    def next_due_ms(self) -> int | None:
        """When the next one expires."""
        return self._due_ms

    def advance(self, pen: Pen) -> None:
        """What is over holds no more."""
        for row in [row for row in self.sheet.rows.values() if row.expires_ms <= pen.now_ms]:
            self._end(pen, row, "expired", row.expires_ms, GATEWAY, "")
        self._due_ms = self._first()

    def issue(self, pen: Pen, site: str, devices: Sequence[str], days: int, by: str) -> list[DeviceLabel]:
        """Labels for these devices; one that holds already is given again."""
        made = [self._of.get((site, device)) or self._make(pen, site, device, days, by) for device in devices]
        self._due_ms = self._first()
        return made

    def revoke(self, pen: Pen, row: DeviceLabel, by: str, note: str) -> DeviceLabel:
        """From now on it opens nothing."""
        ended = self._end(pen, row, "revoked", pen.now_ms, by, note)
        self._due_ms = self._first()
        return ended

    def _first(self) -> int | None:
        return min((row.expires_ms for row in self.sheet.rows.values()), default=None)

    def _make(self, pen: Pen, site: str, device: str, days: int, by: str) -> DeviceLabel:
        row = DeviceLabel(
            id=self.sheet.take_id(), site=site, state="active", from_ms=pen.now_ms, device=device, by=by,
            expires_ms=pen.now_ms + days * DAY_MS,
        )  # fmt: skip
        self._of[site, device] = row
        return pen.write(self.sheet, row, "issue", by)

    def _end(self, pen: Pen, row: DeviceLabel, state: State, at_ms: int, by: str, note: str) -> DeviceLabel:
        self._of.pop((row.site, row.device), None)
        ended = DeviceLabel(
            id=row.id, site=row.site, state=state, from_ms=row.from_ms, until_ms=at_ms, device=row.device, by=row.by,
            expires_ms=row.expires_ms, ended_by=by, note=note,
        )  # fmt: skip
        return pen.write(self.sheet, ended, state, by)


def token_of(secret: bytes, row: DeviceLabel) -> str:
    """What the QR code of a label carries."""
    return f"{row.id}.{sign(secret, _purpose(row))}"


def number_of(token: str) -> int | None:
    """The number a token speaks of, whoever made it; None when it is none."""
    number, dot, code = token.partition(".")
    return int(number) if dot and code and number.isascii() and number.isdigit() and len(number) < 16 else None


def is_token(secret: bytes, token: str, row: DeviceLabel) -> bool:
    """Whether the token is the one of this label."""
    return token.isascii() and is_signed(secret, _purpose(row), token.partition(".")[2])


def _purpose(row: DeviceLabel) -> str:
    return f"device-label/{row.id}/{row.site}/{row.device}/{row.expires_ms}/{row.scope}"
