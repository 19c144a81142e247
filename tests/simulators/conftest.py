"""A truth file on a clock that the test moves, and devices that show their profile's test vector."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.profile import ModbusVector, Profile, ProfileLibrary
from simulators.device import Device
from simulators.recorder import Recorder

LIBRARY = ProfileLibrary()
MODBUS_PROFILES = [profile.id for profile in LIBRARY if profile.modbus is not None]


class Clock:
    """Wall clock in ms that stands still until told."""

    def __init__(self) -> None:
        self.ms = 1_000_000

    def __call__(self) -> int:
        return self.ms


def vector_of(profile: Profile) -> ModbusVector:
    """The profile's frozen example."""
    assert isinstance(profile.test_vector, ModbusVector)
    return profile.test_vector


def device_of_vector(profile_id: str, recorder: Recorder, name: str = "dev") -> Device:
    """A device that shows the values of its profile's test vector."""
    profile = LIBRARY[profile_id]
    return Device(name, profile, recorder, start=vector_of(profile).values)


def image_of(vector: ModbusVector) -> dict[int, int]:
    """The vector's registers as unsigned words by address; a vector may write them signed."""
    return {start + n: word & 0xFFFF for start, words in vector.registers.items() for n, word in enumerate(words)}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def recorder(tmp_path: Path, clock: Clock) -> Iterator[Recorder]:
    recorder = Recorder(tmp_path / "truth.jsonl", clock)
    yield recorder
    recorder.close()
