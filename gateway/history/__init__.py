"""The history: what the points measured, for charts, reports and inspectors.

A mirror of the ledger's inbox behind one interface (`base.History`), which can be slow, away or rebuilt; alarms never
wait for it. `opening.open_history` picks the back end from the settings, `mirror.Mirror` feeds it.
"""

from gateway.history.opening import open_history

__all__ = ["open_history"]
