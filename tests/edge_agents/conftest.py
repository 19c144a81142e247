"""Real parts of the agent's tests: the libmodbus slave and a Mosquitto."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parts import modbus_slave
from tests.parts.mosquitto import Mosquitto


@pytest.fixture(scope="session")
def slave_exe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The C slave, built once. Fails in CI when it cannot be built, is a loud skip elsewhere."""
    try:
        return modbus_slave.build(tmp_path_factory.mktemp("slave"))
    except RuntimeError as exc:
        if os.environ.get("CI"):
            pytest.fail(str(exc), pytrace=False)
        pytest.skip(str(exc))


@pytest.fixture
def broker() -> Iterator[Mosquitto]:
    """A Mosquitto of this test's own, open to everyone."""
    with Mosquitto(anonymous=True) as part:
        yield part
