"""What an agent touches of the world outside: time that passes, chance, names, the broker, the lines.

Handed in at the composition root, so that a whole agent can be run on a simulated world: there nothing else has to be
swapped. Clocks of the day are apart (clock.py).
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable
from typing import NamedTuple

import aiomqtt

from contract.mqtt_client import BrokerClient
from edge_agents.bus.modbus import ModbusPort
from edge_agents.bus.port import FrameCounters, PolledLine, Port
from edge_agents.site_watch import LOOK_S


def random_name() -> str:
    """32 hex digits nobody has used before."""
    return uuid.uuid4().hex


def modbus_port(line: PolledLine, counters: FrameCounters) -> Port:
    """An unopened connection to a real line."""
    return ModbusPort(line, counters=counters)


class Outside(NamedTuple):
    """The real one by default.

    monotonic: seconds. uniform: a number between two. new_name: name of a new life of an outbox. new_client: as
    aiomqtt.Client. new_port: an unopened connection to a Modbus line. look_s: between two looks at the site file.
    """

    monotonic: Callable[[], float] = time.monotonic
    uniform: Callable[[float, float], float] = random.uniform
    new_name: Callable[[], str] = random_name
    new_client: Callable[..., aiomqtt.Client] = BrokerClient
    new_port: Callable[[PolledLine, FrameCounters], Port] = modbus_port
    look_s: float = LOOK_S


REAL = Outside()
