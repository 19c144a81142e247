"""Profiles suggested from what a unit holds."""

from __future__ import annotations

import pytest

from contract.profile import ModbusVector, Profile, ProfileLibrary
from edge_agents.drivers.modbus import Block
from edge_agents.field.capacity import Speed
from edge_agents.field.scan import Suggestion, blocks_wanted, find_units, judge
from tests.edge_agents.field.simulated_wire import SimulatedWire

LIBRARY = ProfileLibrary()
MODBUS = [profile for profile in LIBRARY if profile.modbus is not None]


def suggestions(profile: Profile, *, serves_more: bool) -> list[Suggestion]:
    """All profiles judged by a device that shows its own profile's test vector.

    serves_more: it answers zeros outside its map, as many do, instead of refusing.
    """
    assert isinstance(profile.test_vector, ModbusVector)
    assert profile.modbus is not None
    runs = profile.test_vector.registers
    image = {first + n: word & 0xFFFF for first, words in runs.items() for n, word in enumerate(words)}
    served = {b.address + n for b in blocks_wanted(profile)[:-1] for n in range(b.size)}
    answers: dict[Block, list[int] | None] = {}
    for other in MODBUS:
        for block in blocks_wanted(other):
            registers = range(block.address, block.address + block.size)
            knows = block.function == profile.modbus.function and (serves_more or served.issuperset(registers))
            answers[block] = [image.get(register, 0) for register in registers] if knows else None
    judged = [suggestion for other in MODBUS if (suggestion := judge(other, answers)) is not None]
    return sorted(judged, key=lambda one: -one.bits)


@pytest.mark.parametrize("serves_more", [False, True], ids=["refuses", "serves-more"])
@pytest.mark.parametrize("profile", MODBUS, ids=lambda profile: profile.id)
def test_right_profile_is_first_when_a_device_shows_its_test_vector(profile: Profile, serves_more: bool) -> None:
    """Each shipped profile is recognised among all of them."""
    ranked = suggestions(profile, serves_more=serves_more)
    # Pump and jockey pump have one register map: what cannot be told apart is proposed side by side.
    assert profile.id in [one.profile_id for one in ranked if one.bits == ranked[0].bits], ranked[:3]
    assert ranked[0].bits > 0


def test_reasons_name_the_point_when_a_value_is_impossible() -> None:
    """A profile that does not fit says which point speaks against it."""
    answers = {block: [0xFFF0] * block.size for block in blocks_wanted(LIBRARY["pump-controller"])}
    judged = judge(LIBRARY["pump-controller"], answers)
    assert judged is not None
    assert judged.bits < 0
    assert "outlet_pressure_kpa: out_of_range (0xFFF0)" in judged.why


async def test_units_are_found_when_they_answer_late_or_refuse() -> None:
    """A unit whose answer falls into the time of the next, or after the last, is found; nobody else is."""
    late, soon = (lambda _random: 0.25), (lambda _random: 0.02)
    wire = SimulatedWire({3: late, 7: soon, 10: late}, Speed(9600))
    found = await find_units(wire, Speed(9600), range(1, 11), timeout_s=0.2)
    assert (found.units, found.garbled) == ((3, 7, 10), ())


async def test_a_unit_is_called_garbled_when_only_noise_comes_back() -> None:
    """At the wrong speed something answers that cannot be read: said, and not taken for a unit."""
    wire = SimulatedWire({4: lambda _random: 0.02}, Speed(9600), damaged=1.0)
    found = await find_units(wire, Speed(9600), range(1, 6), timeout_s=0.1)
    assert (found.units, found.garbled) == ((), (4,))
