"""Which decoder a profile wants."""

from __future__ import annotations

from contract.profile import Profile
from edge_agents.foreign import json_sensor, meokon
from edge_agents.foreign.message import Decode


def decoder_of(profile: Profile) -> Decode:
    """The decoder of a profile of a sensor that sends on a broker by itself."""
    return json_sensor.decoder(profile) if profile.mqtt_json is not None else meokon.decoder(profile)
