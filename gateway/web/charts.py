"""History for charts: few enough buckets for a screen, gaps as gaps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from contract import quality as q
from contract.messages import Value
from gateway.history.base import MAX_RAW, Bucket, History, Sample
from gateway.web.inventory import Device

BUCKETS = 600
"""Most buckets a chart gets."""
MINUTE_MS = 60_000
_STEPS_MS = [
    *(1_000, 2_000, 5_000, 10_000, 15_000, 30_000),
    *(n * MINUTE_MS for n in (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 10080, 43200)),
]


class Segment(NamedTuple):
    """A stretch in which a truth or state kept its value. end_ms: when the next began, or trust in it ended."""

    start_ms: int
    end_ms: int
    value: Value
    quality: str


def bucket_ms(from_ms: int, to_ms: int, most: int = BUCKETS) -> int:
    """The shortest round bucket that keeps a range within `most` buckets."""
    least = max(1, -(-(to_ms - from_ms) // max(1, most - 1)))
    return next((step for step in _STEPS_MS if step >= least), least)


async def numbers(
    history: History, device: Device, point: str, from_ms: int, to_ms: int, step_ms: int
) -> list[Bucket | None]:
    """Buckets in order of time, with None where values are missing for longer than the device may keep silent.

    An unchanged value is only repeated within the profile's longest silence, so an empty bucket alone is no gap.
    """
    rows = await history.read(device.site, f"{device.id}/{point}", from_ms, to_ms, step_ms)
    longest_ms = max(2 * step_ms, step_ms + int(2 * device.profile.max_silence_s * 1000))
    found: list[Bucket | None] = []
    for row in rows:
        if found and (last := found[-1]) is not None and row.start_ms - last.start_ms > longest_ms:
            found.append(None)
        found.append(row)
    return found


async def states(history: History, device: Device, point: str, from_ms: int, to_ms: int) -> tuple[list[Segment], bool]:
    """Stretches of a truth or state, and whether they are all there (False: too many samples for one read)."""
    samples = await history.raw(device.site, f"{device.id}/{point}", from_ms, to_ms, MAX_RAW)
    return segments(samples, int(2 * device.profile.max_silence_s * 1000), to_ms), len(samples) < MAX_RAW


def segments(samples: Sequence[Sample], longest_ms: int, to_ms: int) -> list[Segment]:
    """Runs of equal samples. A run ends `longest_ms` after its last sample when nothing follows in that time."""
    found: list[Segment] = []
    for n, sample in enumerate(samples):
        until = samples[n + 1].observed_ms if n + 1 < len(samples) else to_ms
        end_ms = min(until, sample.observed_ms + longest_ms)
        value = sample.value if q.kind(sample.quality) in ("good", "uncertain", "test") else None
        last = found[-1] if found else None
        if last is not None and last.end_ms == sample.observed_ms and last[2:] == (value, sample.quality):
            found[-1] = last._replace(end_ms=end_ms)
        else:
            found.append(Segment(sample.observed_ms, end_ms, value, sample.quality))
    return found
