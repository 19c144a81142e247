"""The process beside the equipment: reads lines, keeps what it read on disk, hands it to the gateway.

Way of a reading: bus -> drivers -> reporting -> recorder -> outbox (disk) -> uplink. `agent.py`
wires it; read it first.
"""
