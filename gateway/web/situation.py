"""What decides on many devices at once: alarms that hold, and causes above a device. Pure, no I/O."""

from __future__ import annotations

from contract.profile import ONLINE
from contract.site import SYSTEM_SITE, line_device
from gateway.web.alarm_cards import BROKER, SEVERITIES
from gateway.web.inventory import Device
from gateway.web.picture import Picture


class Situation:
    """What decides on many devices at once, worked out once for all rows of a page.

    subjects: site/device -> (subject -> worst severity of a real alarm whose condition holds). drilled: devices of
    which a drill made an alarm that holds.
    """

    def __init__(self, picture: Picture, now_ms: int) -> None:
        self._picture = picture
        self._now_ms = now_ms
        self._above: dict[tuple[str, str, str | None], tuple[str | None, str | None]] = {}
        self.subjects: dict[str, dict[str, str]] = {}
        self.drilled: set[str] = set()
        for alarm in sorted(picture.alarms.values(), key=lambda a: -SEVERITIES.index(a.severity)):
            key = "/".join(alarm.subject.split("/", 2)[:2])
            if alarm.active and alarm.hold == "drill":
                self.drilled.add(key)
            elif alarm.active:
                self.subjects.setdefault(key, {})[alarm.subject] = alarm.severity

    def cause(self, device: Device) -> tuple[str | None, str | None]:
        """Why nothing is known of a device, and the path of the node at fault; the highest one counts."""
        above = self.above(device.site, device.agent, device.line)
        if above[0] is None and device.site != SYSTEM_SITE and _offline(self._picture, device.key):
            return "no_answer", device.key
        return above

    def above(self, site: str, agent: str, line: str | None) -> tuple[str | None, str | None]:
        """The same of every device of a line, whether it answers or not."""
        place = (site, agent, line)
        if place not in self._above:
            self._above[place] = _cause_above_line(place, self._picture, self._now_ms)
        return self._above[place]


def agent_connected(picture: Picture, site: str, agent: str, now_ms: int) -> bool:
    """Whether what an agent reports may be taken for the present."""
    known = picture.agents.get((site, agent))
    if known is None or not known.online or not picture.connected:
        return False
    heartbeat_s = known.state.get("heartbeat_s", 10.0) if isinstance(known.state, dict) else 10.0
    return now_ms - known.heard_ms <= 3_000 * float(heartbeat_s) + 5_000


def _cause_above_line(
    place: tuple[str, str, str | None], picture: Picture, now_ms: int
) -> tuple[str | None, str | None]:
    site, agent, line_id = place
    if not picture.connected:
        return "gateway_away", None
    if site == SYSTEM_SITE:
        return None, None
    broker = picture.values.get(BROKER)
    if broker is not None and broker.value is False:
        return "broker_lost", "broker"
    if not agent_connected(picture, site, agent, now_ms):
        return "agent_lost", f"{site}/{agent}"
    line = f"{site}/{line_device(line_id)}" if line_id else ""
    return ("line_lost", line) if _offline(picture, line) else (None, None)


def _offline(picture: Picture, node: str) -> bool:
    online = picture.values.get(f"{node}/{ONLINE}") if node else None
    return online is not None and online.value is False
