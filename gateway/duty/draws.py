"""When random duty checks come: drawn from the ledger's secret, written nowhere before they are asked.

What is wanted: each check is uniform over its shift, no two are within GAP_MS of each other, also not the last of one
shift and the first of the next, and nobody can know them before.

Within a shift the checks lie on a circle as long as the shift: least distance, the rest shared out at random, then
the whole circle turned by a random angle. So each of them is exactly uniform, whatever the distances are. Around a
change of shifts a coin decides whether the shift before it or the one after it may be checked; what a shift loses
there one time in two it gets back the other time, by drawing its free edges twice as densely. Over the coins each
check is uniform again. (Cutting both edges off instead would tell everybody when nobody is going to ask.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from contract.station import MINUTES_A_CHECK
from gateway.ledger.secret import derive

MINUTE_MS = 60_000
GAP_MS = 30 * MINUTE_MS
"""Least distance of two checks."""
MARGIN_MS = MINUTE_MS
"""Nobody is asked in the first and in the last minute of a shift: the crew is just changing."""
EDGE_MS = GAP_MS - 2 * MARGIN_MS
"""As far from the margin a check could be too near to one of the other shift."""
SPACING_MS = 2 * GAP_MS
"""Distance on the circle: where an edge is drawn twice as densely, half of it is left."""


class Span(NamedTuple):
    """A planned shift, ms UTC; the end is the beginning of the next."""

    from_ms: int
    until_ms: int


def most_checks(shift_ms: int) -> int:
    """How many checks a shift of this length can have and still be unpredictable."""
    length = shift_ms - 2 * MARGIN_MS
    return length // (MINUTES_A_CHECK * MINUTE_MS) if length > 4 * EDGE_MS else 0


def draw_checks(secret: bytes, site: str, span: Span, count: int) -> list[int]:
    """When the checks of a shift come (ms UTC), in order; the same for ever for the same ledger, site and shift."""
    length = span.until_ms - span.from_ms - 2 * MARGIN_MS
    count = min(count, most_checks(span.until_ms - span.from_ms))
    if count <= 0:
        return []

    def chance(what: str) -> float:
        """Uniform in [0, 1)."""
        bits = derive(secret, f"duty-check/{site}/{what}")
        return int.from_bytes(bits[:8]) / 2**64

    place = _unroll(
        float(length), is_head=_free_after(chance, span.from_ms), is_tail=not _free_after(chance, span.until_ms)
    )
    slack = length - count * SPACING_MS
    cuts = sorted(chance(f"{span.from_ms}/cut/{number}") * slack for number in range(1, count))
    turn = chance(f"{span.from_ms}/turn") * length
    on_circle = ((turn + number * SPACING_MS + cut) % length for number, cut in enumerate([0.0, *cuts]))
    return sorted(span.from_ms + MARGIN_MS + int(place(at)) for at in on_circle)


def _free_after(chance: Callable[[str], float], change_ms: int) -> bool:
    """The coin of a change of shifts: whether the shift after it may be checked near it."""
    return chance(f"edge/{change_ms}") < 0.5


def _unroll(length: float, *, is_head: bool, is_tail: bool) -> Callable[[float], float]:
    """Carries the circle over to the shift: free edges twice as dense, others empty, the middle takes the rest."""
    edge = float(EDGE_MS)
    head, tail = (2 * edge if is_head else 0.0), (2 * edge if is_tail else 0.0)
    stretch = (length - 2 * edge) / (length - head - tail)

    def place(at: float) -> float:
        if at < head:
            return at / 2
        if at >= length - tail:
            return length - (length - at) / 2
        return edge + (at - head) * stretch

    return place
