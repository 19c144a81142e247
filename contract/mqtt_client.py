"""The client to a broker, the same for agent and gateway: aiomqtt's, without its wait for a broker that hung up."""

from __future__ import annotations

from typing import Any

import aiomqtt


class BrokerClient(aiomqtt.Client):
    """Raises MqttError at once when the connection ends before the broker has let us in.

    aiomqtt 2 leaves such an end out and waits for its whole timeout. A broker that dies while it starts, or a tunnel
    with nothing behind it, would keep alarms waiting for ten seconds at each try.
    """

    def _on_disconnect(self, client: Any, userdata: Any, flags: Any, reason_code: Any, properties: Any = None) -> None:
        if self._connected.done():
            super()._on_disconnect(client, userdata, flags, reason_code, properties)
        else:
            ended = aiomqtt.MqttCodeError(reason_code, "The broker hung up before it answered")
            self._connected.set_exception(ended)
            self._connected.exception()  # read: where nobody waits any more it would be logged as forgotten
