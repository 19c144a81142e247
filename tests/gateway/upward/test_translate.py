"""What of a reading is told upward: states of equipment, and no text that a device gives of itself."""

from __future__ import annotations

from contract.messages import Reading
from contract.profile import IDENTITY_POINTS, ProfileLibrary
from gateway.upward.numbers import Numbers
from gateway.upward.translate import Translator

PANEL = ProfileLibrary()["panel-modbus"]


def test_a_product_called_fire_is_no_fire_when_a_panel_tells_it() -> None:
    """Only the states of its points are; its maker, product and firmware are nobody's business at the centre."""
    translator = Translator(Numbers((), private_codes=True), values_every_ms=0, private_codes=True)
    for point in IDENTITY_POINTS:
        for word in ("fire", "fault", "normal"):
            assert translator.reading(Reading(f"panel-01/{point.name}", 1_800_000_000_000, word), PANEL) == []
    (told,) = translator.reading(Reading("panel-01/p001", 1_800_000_000_000, "fire"), PANEL)
    assert told.urgency == 0
