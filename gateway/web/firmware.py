"""Who a polled device says it is (maker, product, firmware), since when, and what it said before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from contract import quality as q
from contract.errors import RetryLater
from contract.point import Point
from contract.profile import IDENTITY_POINTS, ONLINE
from gateway.history.base import Sample
from gateway.web.context import Web
from gateway.web.inventory import Device
from gateway.web.picture import Current

MOST = 2000
"""Readings of one of the three points that are looked at; a device has one for each change and start of its agent."""


class Told(NamedTuple):
    """One of the three. text: what it says now; None: unknown, and `quality` tells why (None: never asked).

    before: what it said before that (of an unknown one: last); since_ms: when `text` was first heard of, or since when
    it is unknown; None: never.
    """

    point: Point
    text: str | None
    quality: str | None
    since_ms: int | None
    before: str | None


class Change(NamedTuple):
    """What a device said anew at a moment. told: (point, text before or None, text now)."""

    at_ms: int
    told: tuple[tuple[Point, str | None, str], ...]


class Firmware(NamedTuple):
    """vendor, product, revision; `answers`: whether the device answers now."""

    told: tuple[Told, ...]
    answers: bool

    @property
    def only_why(self) -> Told | None:
        """Where nothing is known, nor ever was, and for one reason: any of the three, which says it for all."""
        first = self.told[0]
        same = all((each.text, each.before, each.quality) == (None, None, first.quality) for each in self.told)
        return first if same else None

    @property
    def is_known(self) -> bool:
        """Whether anything of it is known now."""
        return any(each.text is not None for each in self.told)


async def firmware_of(device: Device, web: Web) -> Firmware | None:
    """What a device says it is; None for one that is not polled, which nobody can ask."""
    if device.profile.modbus is None:
        return None
    kept = await _kept(device, web)
    online = web.picture.values.get(f"{device.key}/{ONLINE}")
    answers = online is not None and online.value is True and online.quality == q.GOOD
    told = [
        told_by(point, samples, web.picture.values.get(f"{device.key}/{point.name}"))
        for point, samples in zip(IDENTITY_POINTS, kept, strict=True)
    ]
    return Firmware(tuple(told), answers)


async def firmware_changes(device: Device, web: Web) -> list[Change]:
    """Every time a device said something new of itself, the first time among them, the earliest first."""
    if device.profile.modbus is None:
        return []
    found = [
        (at_ms, n, before, text)
        for n, samples in enumerate(await _kept(device, web))
        for at_ms, before, text in turns(samples)
    ]
    return [
        Change(at_ms, tuple((IDENTITY_POINTS[n], before, text) for _, n, before, text in rows))
        for at_ms, rows in groupby(sorted(found, key=lambda row: row[:2]), key=lambda row: row[0])
    ]


def told_by(point: Point, samples: Sequence[Sample], current: Current | None) -> Told:
    """What is known of a point from its kept readings and its last value. Pure."""
    known = [*samples]
    if current is not None and (not known or current.observed_ms > known[-1].observed_ms):
        known.append(Sample(current.observed_ms, current.value, current.quality))
    heard = turns(known)
    if not known or known[-1].quality != q.GOOD:
        since = None
        for sample in reversed(known):
            if sample.quality == q.GOOD:
                break
            since = sample.observed_ms
        return Told(point, None, known[-1].quality if known else None, since, heard[-1][2] if heard else None)
    at_ms, before, text = heard[-1]
    return Told(point, text, q.GOOD, at_ms, before)


def turns(samples: Iterable[Sample]) -> list[tuple[int, str | None, str]]:
    """(when, text before, text) of each text that differs from the last one. Pure.

    What was unknown in between is no change: a device that did not answer for a while is the same as before.
    """
    found: list[tuple[int, str | None, str]] = []
    last: str | None = None
    for sample in samples:
        if sample.quality == q.GOOD and isinstance(sample.value, str) and sample.value != last:
            found.append((sample.observed_ms, last, sample.value))
            last = sample.value
    return found


async def _kept(device: Device, web: Web) -> list[list[Sample]]:
    """The kept readings of each of the three; none while the history is away."""
    until_ms = web.now_ms() + 1
    try:
        return [
            await web.history.raw(device.site, f"{device.id}/{point.name}", 0, until_ms, MOST)
            for point in IDENTITY_POINTS
        ]
    except RetryLater:
        return [[] for _ in IDENTITY_POINTS]
