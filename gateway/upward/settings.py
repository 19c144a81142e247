"""Settings of the way to monitoring centres."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from contract.configfile import Section
from contract.profile import Ident

_SIX_BYTES = r"^[0-9a-fA-F]{12}$"


class Centre(Section):
    """A monitoring centre that is told of one station, which appears to it as one transmitter."""

    id: Ident
    """Name of this connection."""
    site: Ident
    """The station it is told of."""
    host: str
    """Address of the centre."""
    port: int = Field(ge=1, le=65535)
    """Its port."""
    transport: Literal["tcp", "udp"] = "tcp"
    address: str = Field(pattern=_SIX_BYTES)
    """Our six address bytes in hex, in the order of the wire, as the centre gave them."""
    centre_address: str = Field(default="000000000000", pattern=_SIX_BYTES)
    """The centre's own six address bytes."""
    user_version: int = Field(default=1, ge=0, le=255)
    """Second version byte, as the centre wants it."""
    heartbeat_s: float = Field(default=30.0, ge=1, le=3600)
    """An empty data frame is sent when nothing else was for so long."""
    timeout_s: float = Field(default=10.0, ge=0.5, le=10)
    """What is not confirmed by then is sent again; the standard wants at most 10 s."""
    fire_timeout_s: float = Field(default=2.0, ge=0.2, le=10)
    """The same for fires, so that a lost frame does not cost ten seconds."""
    retries: int = Field(default=3, ge=0, le=10)
    """After so many repeats the connection is made anew. What was not confirmed stays and is sent again."""
    values_every_s: float | None = Field(default=300.0, ge=10, le=86400)
    """A measured value is told at most this often; null: only states and events are told."""
    private_codes: bool = True
    """Whether the centre takes component types 128 and up and analog types 128 and up (docs/gb26875.md, dialect
    weizhan). Without them components are of type 0 and shares, signals and tilts are not told."""

    @model_validator(mode="after")
    def _own_address(self) -> Centre:
        if not int(self.address, 16):
            raise ValueError("address: got zeros, want the address that the centre gave this station.")
        return self
