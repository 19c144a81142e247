"""The receivers by name, with their options as a profile or the command line gives them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from contract.errors import ConfigError
from edge_agents.panels.esc_printer import new_esc_printer
from edge_agents.panels.gst_crt import GstCrtReceiver
from edge_agents.panels.gst_modbus import GstModbusReceiver
from edge_agents.panels.gst_net import GstNetReceiver
from edge_agents.panels.gst_printer import GstPrinterReceiver
from edge_agents.panels.jbf import JbfReceiver
from edge_agents.panels.ld128e import Ld128eReceiver
from edge_agents.panels.notifier import new_notifier
from edge_agents.panels.receiver import Receiver
from edge_agents.panels.sia_dc09 import SiaReceiver
from edge_agents.panels.songjiang import SongjiangReceiver
from edge_agents.panels.tables import load_tables

DRIVERS: dict[str, Callable[..., Receiver]] = {
    "gst_crt": GstCrtReceiver,
    "gst_net": GstNetReceiver,
    "gst_modbus": GstModbusReceiver,
    "gst_printer": GstPrinterReceiver,
    "esc_printer": new_esc_printer,
    "jbf": JbfReceiver,
    "songjiang": SongjiangReceiver,
    "ld128e": Ld128eReceiver,
    "notifier": new_notifier,
    "sia_dc09": SiaReceiver,
}


def new_receiver(driver: str, options: Mapping[str, Any] | None = None) -> Receiver:
    """A receiver with its options. Raises ConfigError for an unknown driver, option or value."""
    if driver not in DRIVERS:
        raise ConfigError(f"driver: got {driver!r}, want one of {', '.join(DRIVERS)}. Name a driver.")
    load_tables()
    try:
        return DRIVERS[driver](**(options or {}))
    except (TypeError, ValueError, KeyError) as exc:
        raise ConfigError(f"panel {driver}: {exc} Mend its options.") from exc
