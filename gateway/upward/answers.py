"""What a centre may ask of us and what it gets: reads of states and values, the duty check, nothing else. Pure.

Answered: 61, 62, 63 (states and values now), 81 (our own state), 85 (version), 86 (who we are), 88 (our clock), 91
(duty check). Denied: 89 and 90 (nobody sets or initialises this machine from outside) and what we do not keep in this
form (64 to 68, 84).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from contract.gb26875 import frame as f
from contract.gb26875 import objects as o
from contract.gb26875.codec import Message
from contract.gb26875.text import free_text
from contract.gb26875.time_tag import tag_from_ms
from contract.messages import Reading
from contract.profile import Profile
from gateway.upward.feeder import Current, Feeder
from gateway.upward.translate import Item, Translator, Urgency, body_of, item, unit_of_items

MOST_BODY = 1000
DUTY_CHECK = 91


class Answers:
    """Answers of one station.

    Args:
        feeder: whose numbers and translation hold. current: `device/point` -> what it is now. profiles: of devices.
        is_path_broken: whether an agent or line of the station cannot be heard. title: of the station.
    """

    def __init__(
        self,
        feeder: Feeder,
        current: Callable[[], Mapping[str, Current]],
        profiles: Callable[[], Mapping[str, Profile]],
        is_path_broken: Callable[[], bool],
        title: str,
        version: tuple[int, int],
        now_ms: Callable[[], int],
    ) -> None:
        self._feeder = feeder
        self._current = current
        self._profiles = profiles
        self._is_path_broken = is_path_broken
        self._title = title
        self._version = version
        self._now_ms = now_ms

    def own_state(self, *, is_centre_back: bool = False) -> Item:
        """Type 21 as it stands."""
        return self._feeder.translator.own_state(
            is_path_broken=self._is_path_broken(), is_centre_back=is_centre_back, at_ms=self._now_ms()
        )

    def duty_minutes(self, message: Message) -> int | None:
        """Minutes of a duty check; None when it is none."""
        unit = message.unit
        if message.frame.command != f.CONTROL or unit.type != DUTY_CHECK or unit.form != "standard":
            return None
        check = unit.objects[0]
        return check.minutes if isinstance(check, o.DutyCheck) and check.minutes else None

    def to(self, message: Message) -> tuple[int, bytes]:
        """Command and unit of the answer to a question or order."""
        if self.duty_minutes(message) is not None:
            return f.CONFIRM, b""
        if message.frame.command != f.REQUEST or message.unit.form != "standard":
            return f.DENY, b""
        made = self._read(message)
        if not made:
            return f.DENY, b""
        return f.RESPONSE, unit_of_items(made[0].unit_type, [one.body for one in made])

    def _read(self, message: Message) -> list[Item]:
        kind, asked = message.unit.type, message.unit.objects
        now_ms = self._now_ms()
        if kind == 61:
            made = [self._system(ref) for ref in asked if isinstance(ref, o.SystemRef)]
        elif kind in (62, 63):
            translate = self._component if kind == 62 else self._value
            made = [one for ref in asked if isinstance(ref, o.ComponentRef) for one in translate(ref)]
        elif kind == 81:
            return [self.own_state()]
        elif kind == 85:
            return [item(Urgency.EVENT, 25, o.TransmitterVersion(*self._version))]
        elif kind == 86:
            return [item(Urgency.EVENT, 26, o.TransmitterConfiguration(free_text(self._title[:100])))]
        elif kind == 88:
            return [item(Urgency.EVENT, 28, o.Clock(tag_from_ms(now_ms)))]
        else:
            return []
        size, kept = 2, []
        for one in made:
            size += len(one.body)
            if size > MOST_BODY:
                break
            kept.append(one)
        return kept

    def _system(self, ref: o.SystemRef) -> Item:
        """A system: normal unless one of its points is not; nothing is said to be normal that is not known."""
        translator = Translator(self._feeder.numbers, values_every_ms=None, private_codes=True)
        current, profiles, status = self._current(), self._profiles(), 0
        is_known = False
        for key in self._feeder.numbers.of_system(ref.sys_type, ref.sys_addr):
            now = current.get(key)
            device, _, name = key.partition("/")
            if now is None or now.value is None or device not in profiles:
                continue
            is_known = True
            reading = Reading(f"{device}/{name}", now.observed_ms, now.value, now.quality)
            for one in translator.reading(reading, profiles[device]):
                if one.unit_type == 2:
                    status |= int.from_bytes(one.body[7:9], "little") & 0x7E
                elif one.unit_type == 1:
                    status |= int.from_bytes(one.body[2:4], "little") & 0x0F7E
        status |= 1 if is_known else 0
        sent = tag_from_ms(self._now_ms())
        return Item(Urgency.EVENT, 1, body_of(1, o.SystemStatus(ref.sys_type, ref.sys_addr, status, sent)))

    def _component(self, ref: o.ComponentRef) -> list[Item]:
        found = self._point(ref)
        if found is None:
            return []
        key, now, profile = found
        made = self._feeder.translator.component_now(key, profile, now.value, now.observed_ms)
        return [made] if made is not None else []

    def _value(self, ref: o.ComponentRef) -> list[Item]:
        found = self._point(ref)
        if found is None or not isinstance(found[1].value, float):
            return []
        key, now, profile = found
        translator = Translator(
            self._feeder.numbers, values_every_ms=1, private_codes=self._feeder.centre.private_codes
        )
        return translator.reading(Reading(key, now.observed_ms, now.value, now.quality), profile)

    def _point(self, ref: o.ComponentRef) -> tuple[str, Current, Profile] | None:
        key = self._feeder.numbers.key_of(ref.sys_type, ref.sys_addr, ref.comp_addr)
        now = self._current().get(key) if key is not None else None
        profile = self._profiles().get(key.partition("/")[0]) if key is not None else None
        if key is None or now is None or now.value is None or profile is None:
            return None  # what is not known is not said to be normal
        return key, now, profile
