"""Whether a line can be reached, as the point `line-<id>/online` on the alarm lane. Pure.

The agent sees first that it is the line and not its devices: the port is gone, or every one of at least two devices is
silent. It says so before it says anything of the devices.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from contract.messages import Reading
from contract.profile import LINE_PROFILE, ONLINE
from contract.quality import GOOD
from contract.site import line_device
from edge_agents.reporting import Reported, Reports, next_observed_ms

_REPEAT_MS = int(LINE_PROFILE.max_silence_s * 1000) // 2


class LinePresence:
    """Reports a line as there or not.

    Args:
        line_id: its name.
        record: takes reports; never waits.
        now_ms: the agent's clock.
    """

    def __init__(self, line_id: str, record: Callable[[Reports], None], now_ms: Callable[[], int]) -> None:
        self._point = f"{line_device(line_id)}/{ONLINE}"
        self._record = record
        self._now_ms = now_ms
        self._last: Reported | None = None
        self.is_up: bool | None = None
        """As said since the start; None before."""

    def restore(self, kept: Mapping[str, Reported]) -> None:
        """Take up what was reported before a restart; keys are `device/point`."""
        self._last = kept.get(self._point)

    def say(self, is_up: bool) -> None:
        """Report it where it is news, or has not been said for long."""
        self.is_up = is_up
        last, now_ms = self._last, self._now_ms()
        if last is not None and last.value is is_up and 0 <= now_ms - last.observed_ms < _REPEAT_MS:
            return
        self._last = Reported(is_up, GOOD, next_observed_ms(last, now_ms))
        self._record(Reports([Reading(self._point, self._last.observed_ms, is_up, GOOD)], []))

    def repeat(self) -> None:
        """Say again what was said, when it was long ago."""
        if self.is_up is not None:
            self.say(self.is_up)
