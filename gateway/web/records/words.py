"""Words that pages of records and exports share."""

from __future__ import annotations

from contract.profile import IDENTITY_POINTS
from gateway.web.context import Web
from gateway.web.inventory import Device
from gateway.web.records.search import area_title, unit_title
from gateway.web.texts import Texts


def identity(web: Web, texts: Texts, device: Device) -> list[tuple[str, str]]:
    """Who a device is: (what, value). What is not on record is said so."""
    unknown = texts("not on record")
    language, asset = texts.language, device.asset

    def day(value: object) -> str:
        return unknown if value is None else str(value)

    rows = [
        (texts("Device"), f"{device.title.get(language)} ({device.key})"),
        (texts("Site"), web.inventory.site_title(device.site).get(language)),
        (texts("Unit"), unit_title(web, device.site, texts) or unknown),
        (texts("Grid area"), area_title(web, device.site, texts) or unknown),
        (texts("Place"), device.place.get(language) if device.place is not None else unknown),
        (texts("Type"), device.profile.title.get(language)),
        (texts("Profile and source"), f"{device.profile.id} · {device.profile.source.get(language)}"),
        (texts("Agent and line"), f"{device.agent} · {device.line or texts('approved')}"),
        (texts("Made"), day(asset.made if asset else None)),
        (texts("Last calibration (registered)"), day(asset.calibrated if asset else None)),
        (texts("Last new battery (registered)"), day(asset.battery if asset else None)),
        (texts("Last inspection (registered)"), day(asset.inspected if asset else None)),
    ]
    if device.profile.modbus is not None:
        for point in IDENTITY_POINTS:
            told = web.picture.values.get(f"{device.key}/{point.name}")
            value = unknown if told is None else texts.quality(told.quality) or str(told.value)
            rows.append((point.title.get(language), value))
    if asset is not None and asset.extinguisher is not None:
        rows.append((texts("Extinguishing agent"), texts.word("extinguisher", asset.extinguisher)))
    return rows


def lost_word(texts: Texts, reason: str) -> str:
    """Why something was lost: an outage, or the cause that a reading gave."""
    word = texts.word("lost", reason)
    return texts.word("cause", reason) if word == reason else word


def percent(value: float | None) -> str:
    """A share; a dash where there is nothing to take one of."""
    return "—" if value is None else f"{value:.2f} %"
