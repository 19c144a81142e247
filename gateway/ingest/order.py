"""Order of batches: what the watermark of a lane says to the next batch. Pure.

The watermark W is the highest seq committed of (site, agent, epoch, lane); 0 at first contact.

    seq <= W                     duplicate: no effect at any age; the receipt goes out again
    first_seq <= W+1 <= seq      next: taken; its gaps are recorded where they lie above W
    first_seq > W+1, held        hole: nothing is taken; the agent is asked to rewind
    first_seq > W+1, not held    what lies between can never arrive (the agent gave it up after a receipt that this
                                 ledger no longer knows: restored from a backup, or a new one): taken, with a gap
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from contract.messages import Batch

LEDGER_RESTORED = "ledger_restored"


class Lost(NamedTuple):
    """Sealed batches first_seq..seq whose readings will never arrive. first_ms None: how many is not known."""

    first_seq: int
    seq: int
    readings: int
    first_ms: int | None
    last_ms: int | None
    reason: str


class Verdict(NamedTuple):
    """What to do with a batch, and what it says was lost."""

    kind: Literal["take", "duplicate", "hole"]
    lost: tuple[Lost, ...] = ()


_TAKE = Verdict("take")
_DUPLICATE = Verdict("duplicate")
_HOLE = Verdict("hole")


def judge(batch: Batch, watermark: int) -> Verdict:
    """Place a batch against the watermark of its lane."""
    if batch.seq <= watermark:
        return _DUPLICATE
    first, following = batch.first_seq, watermark + 1
    if first <= following and not batch.gaps:
        return _TAKE
    lost: list[Lost] = []
    if first > following:
        if batch.oldest <= following or first > batch.oldest:
            return _HOLE
        lost.append(Lost(following, first - 1, 0, None, None, LEDGER_RESTORED))
    for gap in batch.gaps:
        if watermark < gap.seq <= batch.seq:
            lost.append(Lost(gap.seq, gap.seq, gap.readings, gap.first_ms, gap.last_ms, gap.reason))
    return Verdict("take", tuple(lost))
