"""The shipped broker configuration, tried on a real Mosquitto."""

from __future__ import annotations

import asyncio
import time

import aiomqtt
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tests.parts.mosquitto import GATEWAY, Mosquitto

A, B = "shuiye/edge1", "shuiye/edge2"
UP = ("alarm", "telemetry", "state")
DOWN = ("receipt", "request")


def connect(part: Mosquitto, user: str | None, *, password: str | None = None, client_id: str | None = None):
    return aiomqtt.Client(
        part.host,
        part.port,
        username=user,
        password=password or (part.password(user) if user else None),
        identifier=client_id,
        protocol=aiomqtt.ProtocolVersion.V5,
        timeout=10,
    )


async def received(client: aiomqtt.Client, last: bytes) -> list[tuple[str, bytes]]:
    """What the client gets up to and with the payload `last`."""
    found = []
    async with asyncio.timeout(10):
        async for message in client.messages:
            found.append((message.topic.value, bytes(message.payload)))
            if message.payload == last:
                return found
    raise AssertionError(last)


def publish(part: Mosquitto, user: str, topic: str, payload: bytes = b"x") -> str:
    """What the broker's PUBACK says, or that it cut the client off; aiomqtt keeps it to itself, so this asks paho."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.username_pw_set(user, part.password(user))
    answers: list[str] = []
    client.on_connect = lambda *_: client.publish(topic, payload, qos=1)
    client.on_publish = lambda _client, _data, _mid, reason, _properties: answers.append(str(reason))
    client.on_disconnect = lambda _client, _data, _flags, reason, _properties: answers.append(f"cut off: {reason}")
    client.connect(part.host, part.port)
    deadline = time.monotonic() + 10
    while not answers and time.monotonic() < deadline:
        client.loop(0.1)
    client.disconnect()
    return answers[0]


@pytest.mark.parametrize("channel", UP)
async def test_gateway_reads_what_an_agent_publishes_below_its_own_prefix(mosquitto: Mosquitto, channel: str) -> None:
    """Each up channel of an agent reaches the gateway."""
    async with connect(mosquitto, GATEWAY) as gateway, connect(mosquitto, A) as agent:
        await gateway.subscribe(f"weizhan/v1/+/+/{channel}", qos=1)
        await agent.publish(f"weizhan/v1/{A}/{channel}", b"hello", qos=1)
        assert await received(gateway, b"hello") == [(f"weizhan/v1/{A}/{channel}", b"hello")]


@pytest.mark.parametrize("channel", DOWN)
async def test_agent_gets_only_its_own_answers_when_it_subscribes_to_everything(
    mosquitto: Mosquitto, channel: str
) -> None:
    """An agent that asks for every topic gets its own receipts and requests and nothing of others."""
    async with connect(mosquitto, GATEWAY) as gateway, connect(mosquitto, A) as a, connect(mosquitto, B) as b:
        await b.subscribe("#", qos=1)
        await b.subscribe("$SYS/#", qos=1)
        await a.publish(f"weizhan/v1/{A}/alarm", b"not for b", qos=1)
        await gateway.publish(f"weizhan/v1/{A}/{channel}", b"for a", qos=1)
        await gateway.publish(f"weizhan/v1/{B}/{channel}", b"for b", qos=1)
        assert await received(b, b"for b") == [(f"weizhan/v1/{B}/{channel}", b"for b")]


@pytest.mark.parametrize(
    "topic",
    [
        *(f"weizhan/v1/{A}/{channel}" for channel in (*UP, *DOWN)),
        *(f"weizhan/v1/{B}/{channel}" for channel in DOWN),
        "weizhan/v1/beiyuan/edge2/alarm",
        f"weizhan/v1/{B}/alarm/x",
        f"weizhan/v1//{B}/alarm",
        f"weizhan/v1/{B}",
        "weizhan/v1/alarm",
        f"weizhan/v2/{B}/alarm",
        f"/weizhan/v1/{B}/alarm",
        "weizhan/v1/shuiye/EDGE2/alarm",
        "weizhan/v1/shuiye/edge\u200b2/alarm",
        "$SYS/broker/uptime",
        "x",
    ],
)
def test_agent_is_refused_when_it_publishes_outside_its_own_prefix(mosquitto: Mosquitto, topic: str) -> None:
    """Agent B cannot publish as A, answer itself, or write anywhere else."""
    assert publish(mosquitto, B, topic) == "Not authorized"


@pytest.mark.parametrize("channel", UP)
def test_gateway_is_refused_when_it_speaks_as_an_agent(mosquitto: Mosquitto, channel: str) -> None:
    """The gateway writes answers only."""
    assert publish(mosquitto, GATEWAY, f"weizhan/v1/{A}/{channel}") == "Not authorized"


async def test_agent_stays_connected_when_another_connects_under_its_client_id(mosquitto: Mosquitto) -> None:
    """Client ids follow the user name, so taking another's id pushes nobody off."""
    async with connect(mosquitto, GATEWAY) as gateway, connect(mosquitto, A, client_id=A) as a:
        await a.subscribe(f"weizhan/v1/{A}/receipt", qos=1)
        async with connect(mosquitto, B, client_id=A) as b:
            await b.publish(f"weizhan/v1/{B}/alarm", b"b is itself", qos=1)
            await gateway.publish(f"weizhan/v1/{A}/receipt", b"still here", qos=1)
            assert await received(a, b"still here") == [(f"weizhan/v1/{A}/receipt", b"still here")]


@pytest.mark.parametrize(("user", "password"), [(None, None), (A, "wrong"), ("nobody/edge1", "x")])
async def test_connection_is_refused_when_the_sender_is_not_known(
    mosquitto: Mosquitto, user: str | None, password: str | None
) -> None:
    """No name, a wrong password and an unknown name do not get in."""
    with pytest.raises(aiomqtt.MqttError):
        async with connect(mosquitto, user, password=password):
            pass


async def test_oversized_batch_reaches_the_gateway_and_a_huge_one_does_not(mosquitto: Mosquitto) -> None:
    """The gateway sees what is over 64 KiB, to count it; the broker stops what is over 256 KiB."""
    async with connect(mosquitto, GATEWAY) as gateway, connect(mosquitto, A) as agent:
        await gateway.subscribe("weizhan/v1/+/+/alarm", qos=1)
        await agent.publish(f"weizhan/v1/{A}/alarm", bytes(100_000), qos=1)
        answer = await asyncio.to_thread(publish, mosquitto, B, f"weizhan/v1/{B}/alarm", bytes(265_000))
        assert answer.startswith("cut off")
        await agent.publish(f"weizhan/v1/{A}/alarm", b"end", qos=1)
        got = [len(payload) for _, payload in await received(gateway, b"end")]
        assert got == [100_000, 3]


async def test_broker_serves_the_same_port_again_when_it_was_killed() -> None:
    """Kill -9 and start keep the port, so that agents find it again."""
    with Mosquitto(anonymous=True) as part:
        port = part.port
        part.kill()
        part.start()
        assert part.port == port
        async with connect(part, None) as client:
            await client.publish("any/topic", b"x", qos=1)
