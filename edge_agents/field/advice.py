"""What a diagnosis means, in words: `what: got X, want Y. What to do.`"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from edge_agents.field.capacity import Speed

if TYPE_CHECKING:
    from edge_agents.field.doctor import Diagnosis

_HALF = 0.5


def findings(diagnosis: Diagnosis, speed: Speed) -> Iterator[str]:
    """One text for each thing that is wrong; none for a healthy line."""
    counts = diagnosis.counts
    if diagnosis.turnaround is None:
        yield nothing_answers(speed)
    else:
        dead = [unit.unit_id for unit in diagnosis.units if not unit.turnaround_ms]
        if dead:
            yield (
                f"units {_numbers(dead)}: got no answer, want one. Check power, address switch and the cable's branch; "
                "the others answer, so speed and polarity are right."
            )
    if counts.echoes:
        yield (
            f"echo: got our own request back {counts.echoes} times of {counts.asked}, want never. The adapter listens "
            "while it sends: set its RS-485 direction control (2-wire, echo off). The agent passes echoes over, other "
            "tools do not."
        )
    if counts.foreign_frames:
        yield (
            f"foreign master: got {counts.foreign_frames} frames that answer nothing we asked (units "
            f"{_numbers(diagnosis.foreign_units)}), want none. An RTU line has one master: take the other off, or read "
            "it through its own gateway."
        )
    if counts.crc_errors or counts.noise_bytes:
        share = counts.crc_errors / max(1, counts.asked)
        yield (
            f"noise: got {counts.crc_errors} CRC errors ({share:.1%} of the reads) and {counts.noise_bytes} stray "
            "bytes, want none. Check the 120 ohm resistor (at both ends only), bias, shield (grounded at one end), "
            "distance to mains; two units with one address also sound like this."
        )
    yield from _timing(diagnosis, speed)


def _timing(diagnosis: Diagnosis, speed: Speed) -> Iterator[str]:
    counts, advised_s = diagnosis.counts, diagnosis.advised_timeout_s
    if counts.late_answers:
        to = f"Set timeout_s to {advised_s:g}" if advised_s is not None else "Set a longer timeout_s"
        yield (
            f"late answers: got {counts.late_answers} after the timeout of {diagnosis.timeout_s:g} s, want none. "
            f"{to}; the agent throws a late answer away, because it looks like the next one."
        )
    living = [unit for unit in diagnosis.units if unit.turnaround_ms]
    lost = sum(unit.timeouts - unit.late for unit in living)
    if lost > 0:
        yield (
            f"lost answers: got {lost} requests without any answer from units that do answer, want none. "
            "Check bias and termination; a second master or two units with one address do this too."
        )
    if diagnosis.advised_gap_ms > speed.silence_s * 1000 * (1 + _HALF):
        yield (
            f"gap: got units that miss requests sooner than {diagnosis.advised_gap_ms:g} ms after an answer, want "
            f"{speed.silence_s * 1000:.1f} ms (3.5 characters). Update or replace the unit, or give it a line of its "
            "own."
        )


def nothing_answers(speed: Speed) -> str:
    """What to check when a line is dead."""
    return (
        f"got no answer at {speed}, want one. Check in this order: power of the units, A and B not swapped, speed and "
        "parity as on the units, addresses (`weizhan line scan` finds them), common ground, adapter in RS-485 mode."
    )


def _numbers(numbers: list[int]) -> str:
    """`1-3, 7`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
