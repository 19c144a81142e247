"""What the JSON API answers of a device's firmware. Times are ms UTC; `null` is no value, never an empty text."""

from __future__ import annotations

from pydantic import Field

from gateway.web.api_models import Answer, DeviceAnswer
from gateway.web.firmware import Firmware


class ToldAnswer(Answer):
    """One thing a device tells of itself."""

    value: str | None = Field(examples=["V1.3"])
    """Bytes that are no printable UTF-8 stand as `\\xNN`. null: unknown."""
    quality: str = Field(examples=["good"])
    """Why it is unknown: `unknown:refused`, `unknown:no_answer`, ...; `unknown:never_reported`: not asked yet."""
    since_ms: int | None
    """When this value was first heard of, or since when it is unknown."""
    before: str | None = Field(examples=["V1.2"])
    """What it said before; of an unknown one what it said last."""


class FirmwareAnswer(Answer):
    """Who a device says it is (Modbus Read Device Identification, basic objects)."""

    vendor: ToldAnswer
    product: ToldAnswer
    revision: ToldAnswer
    answers: bool
    """Whether the device answers now; while it does not, this is what it told last."""


class OneDeviceAnswer(DeviceAnswer):
    """A device with its firmware."""

    firmware: FirmwareAnswer | None
    """null: a device that is not polled, so that nobody can ask it."""


def firmware_answer(found: Firmware) -> FirmwareAnswer:
    """As the API tells it."""
    told = {
        each.point.name: ToldAnswer(
            value=each.text,
            quality=each.quality or "unknown:never_reported",
            since_ms=each.since_ms,
            before=each.before,
        )
        for each in found.told
    }
    return FirmwareAnswer(**told, answers=found.answers)
