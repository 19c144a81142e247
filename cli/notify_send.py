"""Sends marked test messages to a person, without the gateway."""

from __future__ import annotations

import time
from collections.abc import Sequence

from contract.errors import ConfigError, WeizhanError
from contract.profile import Text
from gateway.notify.outbox import Notice
from gateway.notify.sender import make_target
from gateway.notify.settings import NotifySettings, Person
from gateway.notify.targets import Letter, prepare_apprise
from gateway.notify.texts import Facts, Writer


async def send_tests(settings: NotifySettings, person_id: str, channel_id: str | None) -> list[tuple[bool, str]]:
    """What came of a test message by each way: (good, text). Raises ConfigError for an unknown person or way."""
    person = _find_person(settings, person_id)
    chosen = [channel for channel in person.channels if channel_id in (None, channel.id)]
    if not chosen:
        ids = ", ".join(channel.id for channel in person.channels)
        raise ConfigError(f"channel: got {channel_id!r}, want one of {ids} (notify.people, {person.id}).")
    if any(channel.kind == "apprise" for channel in chosen):
        prepare_apprise()
    now_ms = time.time_ns() // 1_000_000
    message = Writer(_NoNames, settings.time_zone).test(now_ms)
    found = []
    for channel in chosen:
        if channel.kind == "screen":
            text = "shown by the running gateway; the duty page proves it once its sound is on."
            found.append((True, f"{person.id} {channel.id}: {text}"))
            continue
        notice = Notice(0, person.id, channel.id, "fault", "test", "info", [], message, now_ms, None)
        began_s = time.monotonic()
        try:
            outcome = await make_target(channel, settings, person, lambda _: False).send(
                Letter(notice, now_ms, "0.0.test", None)
            )
        except WeizhanError as exc:
            found.append((False, f"{person.id} {channel.id}: not sent: {exc}."))
            continue
        took_s = time.monotonic() - began_s
        came = "read" if outcome.read else "delivered" if outcome.delivered else "taken by the service"
        found.append((True, f"{person.id} {channel.id}: {came} after {took_s:.1f} s."))
    return found


def _find_person(settings: NotifySettings, person_id: str) -> Person:
    person = next((person for person in settings.people if person.id == person_id), None)
    if person is None:
        ids = ", ".join(person.id for person in settings.people) or "somebody; notify.people is empty"
        raise ConfigError(f"person: got {person_id!r}, want one of {ids}.")
    return person


class _NoNames:
    """A test message names nothing."""

    def rule(self, rule_id: str) -> Text:
        return Text(zh=rule_id, en=rule_id)

    def advice(self, rule_id: str) -> Sequence[Text]:
        del rule_id
        return ()

    def place(self, facts: Facts) -> Text:
        return Text(zh=facts.subject, en=facts.subject)

    def site(self, site_id: str) -> Text:
        return Text(zh=site_id, en=site_id)
