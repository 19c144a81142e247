"""A water network stepped by EPANET: pressures, flows, levels; bursts, leaks, closed valves, opened hydrants, pumps.

Demands give way when pressure fails (EPANET's pressure driven analysis), so a burst main empties the houses around it
instead of going below nothing. Holes and open outlets are emitters, q = C * p^0.5.
"""

from __future__ import annotations

import math
import tempfile
import warnings
from pathlib import Path
from typing import Any, Self

from epanet import toolkit as en

from contract.errors import ConfigError
from simulators.hydraulics.inp import Outline, read_outline

KPA_PER_M = 9.80665
NETWORKS = Path(__file__).parent / "networks"
DISTRICT = NETWORKS / "district.inp"
"""Our own: a town of two thousand people, with looped mains, a tower and a booster pump."""
_DISCHARGE = 0.62
"""Discharge coefficient of a sharp-edged hole."""
_NEEDED_M = 10.0
"""Pressure at which a demand is met in full."""


def emitter(hole_mm: float) -> float:
    """Emitter coefficient (L/s per m^0.5) of a round hole of that diameter."""
    area_m2 = math.pi / 4 * (hole_mm / 1000) ** 2
    return 1000 * _DISCHARGE * area_m2 * math.sqrt(2 * 9.80665)


class Network:
    """A network at a time. `with Network(DISTRICT) as network: network.advance(3600)`.

    Args:
        path: an EPANET input file in LPS. step_s: time between two solutions; what is done to the network takes effect
            at the next one.

    Raises:
        ConfigError: the file is wrong, by file and line.
    """

    def __init__(self, path: Path = DISTRICT, step_s: int = 60) -> None:
        self.outline: Outline = read_outline(path)
        self.now_s = 0
        self._path = path
        self._step_s = step_s
        self._folder = tempfile.TemporaryDirectory(prefix="weizhan-epanet-")
        self._project: Any = None
        self._nodes: dict[str, int] = {}
        self._links: dict[str, int] = {}
        self._ahead_s = 0
        self._holes: set[str] = set()

    def __enter__(self) -> Self:
        project = self._project = en.createproject()
        report = Path(self._folder.name)
        try:
            en.open(project, str(self._path), str(report / "report"), str(report / "out"))
        except Exception as exc:  # the toolkit raises bare exceptions with EPANET's own text
            self.close()
            raise ConfigError(f"{self._path}: EPANET: {exc}. Want a network that EPANET can solve.") from exc
        en.setstatusreport(project, en.NO_REPORT)
        en.setdemandmodel(project, en.PDA, 0.0, _NEEDED_M, 0.5)
        en.settimeparam(project, en.DURATION, 2**31 - 1)
        en.settimeparam(project, en.HYDSTEP, self._step_s)
        self._nodes = {name: en.getnodeindex(project, name) for name in self._names(en.NODECOUNT, en.getnodeid)}
        self._links = {name: en.getlinkindex(project, name) for name in self._names(en.LINKCOUNT, en.getlinkid)}
        en.openH(project)
        en.initH(project, en.NOSAVE)
        self._solve()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let EPANET go. Idempotent."""
        if self._project is not None:
            en.close(self._project)
            en.deleteproject(self._project)
            self._project = None
        self._folder.cleanup()

    # --- time ----------------------------------------------------------------------------------------------------

    def advance(self, until_s: int) -> None:
        """Let time pass up to then (s since the start of the file's clock)."""
        while self.now_s + self._ahead_s <= until_s:
            self.now_s += self._ahead_s
            self._solve()

    def pace(self, step_s: int) -> None:
        """Another time between two solutions, from the next one on."""
        en.settimeparam(self._project, en.HYDSTEP, step_s)

    def _solve(self) -> None:
        with warnings.catch_warnings():
            # EPANET warns of nodes that run dry and pumps that cannot deliver: here these are what is simulated.
            warnings.simplefilter("ignore")
            en.runH(self._project)
            self._ahead_s = max(1, int(en.nextH(self._project)))

    # --- what there is -------------------------------------------------------------------------------------------

    def pressure_kpa(self, node: str) -> float:
        """At a junction or the bottom of a tank; never below nothing."""
        return max(0.0, float(self._node(node, en.PRESSURE)) * KPA_PER_M)

    def level_m(self, tank: str) -> float:
        """Water in a tank, above its bottom."""
        return float(self._node(tank, en.PRESSURE))

    def outflow_lps(self, node: str) -> float:
        """What leaves the network at a junction: demand, holes and open outlets together."""
        # What EPANET tells of a hole that was closed again is what ran out of it before.
        hole = float(self._node(node, en.EMITTERFLOW)) if node in self._holes else 0.0
        return float(self._node(node, en.DEMANDFLOW)) + hole

    def flow_lps(self, link: str) -> float:
        """Through a pipe, pump or valve, in the direction the file gives it."""
        return float(en.getlinkvalue(self._project, self._link(link), en.FLOW))

    # --- what happens to it --------------------------------------------------------------------------------------

    def open_hole(self, node: str, hole_mm: float) -> None:
        """A burst, a leak or an open outlet at a junction, by its diameter; 0 closes it."""
        coefficient = emitter(hole_mm) if hole_mm > 0 else 0.0
        en.setnodevalue(self._project, self._index(node), en.EMITTER, coefficient)
        if hole_mm > 0:
            self._holes.add(node)
        else:
            self._holes.discard(node)

    def close_link(self, link: str, *, closed: bool = True) -> None:
        """Close a pipe or switch off a pump, or the other way round; the file's controls do not undo it."""
        number = self._link(link)
        for control in range(1, en.getcount(self._project, en.CONTROLCOUNT) + 1):
            if en.getcontrol(self._project, control)[1] == number:
                en.setcontrolenabled(self._project, control, en.FALSE if closed else en.TRUE)
        en.setlinkvalue(self._project, number, en.STATUS, en.CLOSED if closed else en.OPEN)

    def scale_demand(self, factor: float) -> None:
        """All demands times this; 1 is an ordinary day."""
        en.setoption(self._project, en.DEMANDMULT, factor)

    # --- names ---------------------------------------------------------------------------------------------------

    def _names(self, count: Any, name_of: Any) -> list[str]:
        return [name_of(self._project, number) for number in range(1, en.getcount(self._project, count) + 1)]

    def _node(self, name: str, what: Any) -> Any:
        return en.getnodevalue(self._project, self._index(name), what)

    def _index(self, node: str) -> int:
        if node not in self._nodes:
            raise ConfigError(f"{self._path}: node {node!r}: got no such node, want one of its junctions or tanks.")
        return self._nodes[node]

    def _link(self, link: str) -> int:
        if link not in self._links:
            raise ConfigError(f"{self._path}: link {link!r}: got no such link, want one of its pipes or pumps.")
        return self._links[link]
