"""The six-byte time tag (时间标签) of GB/T 26875.3-2011: binary, local time without a zone.

    0       1       2       3       4       5
    +-------+-------+-------+-------+-------+-------+
    | sec   | min   | hour  | day   | month | year  |   year 0..99 is 2000..2099
    +-------+-------+-------+-------+-------+-------+

Clocks that were never set send six zeros, or 1970 in one of two spellings: a year byte of 226 (-30 from 2000), or
1 January of year 70. Neither is an event's time, so it reads as no time; the bytes are always kept.
"""

from __future__ import annotations

import calendar
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from typing import Literal, NamedTuple

import msgspec

from contract.errors import MessageError

TIME_BYTES = 6
CHINA_OFFSET_S = 8 * 3600
"""China keeps one zone without summer time."""
State = Literal["ok", "all-zero", "invalid"]
_YEAR_1970_SIGNED, _YEAR_1970_SHORT = 226, 70


class TimeTag(msgspec.Struct, frozen=True):
    """Six bytes as they came. Whatever they hold, this never raises on reading."""

    raw: bytes

    @property
    def state(self) -> State:
        """`ok` a date that exists, `all-zero` nothing was set, `invalid` 1970 or no date at all."""
        if self.raw == bytes(TIME_BYTES):
            return "all-zero"
        return "invalid" if _local(self.raw) is None else "ok"

    @property
    def is_1970(self) -> bool:
        """Whether the tag is an unset clock that counts from 1970."""
        return _is_1970(self.raw)

    @property
    def iso(self) -> str | None:
        """ISO 8601 to the second, without a zone as the tag has none; None when it is no usable time."""
        local = _local(self.raw)
        return None if local is None else local.iso

    def utc_ms(self, offset_s: int = CHINA_OFFSET_S) -> int | None:
        """Milliseconds UTC, the sender's clock being `offset_s` ahead of UTC; None when it is no usable time."""
        local = _local(self.raw)
        return None if local is None else (local.seconds - offset_s) * 1000


class _Local(NamedTuple):
    """A wall clock. seconds: as if it were UTC, since 1970."""

    iso: str
    seconds: int


def _is_1970(raw: bytes) -> bool:
    return len(raw) == TIME_BYTES and (raw[5] == _YEAR_1970_SIGNED or raw[3:] == bytes((1, 1, _YEAR_1970_SHORT)))


@lru_cache(1024)
def _local(raw: bytes) -> _Local | None:
    """What the bytes say. Remembered: a frame is asked several times, and many frames have the same second."""
    if len(raw) != TIME_BYTES or raw == bytes(TIME_BYTES) or _is_1970(raw) or raw[5] > 99:
        return None
    second, minute, hour, day, month, year = raw
    try:
        # The zone is a stand-in: what is meant is the sender's own wall clock.
        local = datetime(2000 + year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    return _Local(local.strftime("%Y-%m-%dT%H:%M:%S"), calendar.timegm(local.timetuple()))


def tag_from_ms(utc_ms: int, offset_s: int = CHINA_OFFSET_S) -> TimeTag:
    """The tag of an instant, cut to the second.

    Raises:
        MessageError: reason `time`, when it is outside 2000..2099 or would read as an unset clock.
    """
    return _tag_of_second(utc_ms // 1000, offset_s)


@lru_cache(64)
def _tag_of_second(utc_s: int, offset_s: int) -> TimeTag:
    zone = timezone(timedelta(seconds=offset_s))
    try:
        local = datetime.fromtimestamp(utc_s, tz=zone)
    except (OverflowError, ValueError, OSError) as exc:
        raise MessageError("time", f"got {utc_s} s, want an instant of 2000..2099.") from exc
    if not 2000 <= local.year <= 2099:
        raise MessageError("time", f"got {local.isoformat()}, want an instant of 2000..2099.")
    tag = TimeTag(bytes((local.second, local.minute, local.hour, local.day, local.month, local.year - 2000)))
    if tag.state != "ok":
        raise MessageError("time", f"got {local.isoformat()}, want a time that does not read as an unset clock.")
    return tag
