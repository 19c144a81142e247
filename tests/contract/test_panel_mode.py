"""The control mode of a panel: manual or automatic, whatever else it says."""

from __future__ import annotations

from contract.panel import MODE, EventClass, PanelEvent, PanelStates
from contract.profile import ProfileLibrary


def told(event: EventClass, *, restored: bool = False, address: str | None = None) -> PanelEvent:
    return PanelEvent(event=event, received_ms=0, restored=restored, address=address)


def test_mode_follows_the_panel_when_it_is_put_to_manual_and_back() -> None:
    """Manual and automatic, each said once."""
    states = PanelStates()

    assert states.apply(told(EventClass.OTHER, address=MODE)) == {MODE: "manual"}
    assert states.apply(told(EventClass.OTHER, address=MODE, restored=True)) == {MODE: "auto"}


def test_mode_stays_manual_when_the_panel_is_reset_or_normal() -> None:
    """A reset ends alarms and not the mode; neither does the word that all is over."""
    states = PanelStates()
    states.apply(told(EventClass.OTHER, address=MODE))
    states.apply(told(EventClass.RESET))
    states.apply(told(EventClass.OTHER, restored=True))

    assert states.state(MODE) == "manual"


def test_mode_is_known_again_when_the_agent_was_restarted() -> None:
    """What was known before a restart is taken up."""
    states = PanelStates()
    states.restore(MODE, "manual")

    assert states.state(MODE) == "manual"


def test_mode_has_words_of_its_own_on_every_panel_that_is_listened_to() -> None:
    """Automatic and manual; a detection point has the words of a detection point."""
    for profile in ProfileLibrary():
        if profile.panel is not None:
            point = profile.point(MODE)
            assert point is not None
            assert sorted((point.states or {}).values()) == ["auto", "manual"]
