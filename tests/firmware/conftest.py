"""The firmware, built once, and the slave it is compared with."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.firmware.nodes import make
from tests.parts import modbus_slave


@pytest.fixture(scope="session")
def firmware(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the node of this host and the images of the Cortex-M3."""
    folder = tmp_path_factory.mktemp("firmware")
    make("host", folder)
    make("cortex-m3", folder)
    return folder


@pytest.fixture(scope="session")
def slave_exe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The libmodbus slave."""
    return modbus_slave.build(tmp_path_factory.mktemp("slave"))
