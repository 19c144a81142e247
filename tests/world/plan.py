"""What happens to a simulated station: a list drawn from the seed before it begins, so that it can be shortened."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

AGENTS = ("edge1", "edge2")
PROCESSES = (*AGENTS, "gateway")
LINES = ("rs1", "rs2", "rs3")
FIRE_POINTS = tuple(f"p{n:03d}" for n in range(1, 9))
HYDRANTS = ("hydrant-01", "hydrant-02", "hydrant-03")
DEVICES = (*HYDRANTS, "tank-01", "panel-01", "bay-01")
WAYS = ("wang/app", "li/app")
DISK_FAULTS = ("database or disk is full", "disk I/O error")


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that happens. at_s: simulated seconds; kind and args: see World.happen; is_life: no fault."""

    at_s: float
    kind: str
    args: dict[str, Any]
    is_life: bool = False

    def __str__(self) -> str:
        told = ", ".join(f"{key}={_short(value)}" for key, value in self.args.items())
        return f"{self.at_s:9.3f} s  {self.kind}({told})"


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of the product's settings in one run; `buggify` makes them small."""

    outbox_bytes: int = 8 * 1024 * 1024
    batch_bytes: int = 16 * 1024
    queue_messages: int = 2000
    checkpoint_s: float = 10.0
    resend_s: float = 2.0
    seal_ms: int = 1000
    commit_ms: int = 10
    drift_s: float = 30.0
    """Pause between two changes of the water; short where limits are small, so that they are reached."""
    is_small: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that is drawn before a run."""

    seed: int
    hours: float
    limits: Limits
    clocks: dict[str, tuple[float, float]]
    """Process -> (ms its wall clock is ahead, rate of its clocks)."""
    happenings: tuple[Happening, ...]

    def only(self, happenings: list[Happening]) -> Plan:
        """The same with fewer happenings."""
        return Plan(self.seed, self.hours, self.limits, self.clocks, tuple(happenings))


def draw(seed: int, hours: float = 2.0, *, faults: float = 1.0) -> Plan:
    """The plan of a seed. faults: how many, times the usual."""
    random = Random(f"plan {seed}")
    limits = Limits()
    if random.random() < 0.25:
        limits = Limits(
            outbox_bytes=56 * 1024,
            batch_bytes=1024,
            queue_messages=random.choice((10, 12, 30)),
            checkpoint_s=random.choice((0.1, 1.0)),
            resend_s=0.5,
            seal_ms=random.choice((250, 3000)),
            commit_ms=random.choice((0, 100)),
            drift_s=6.0,
            is_small=True,
        )
    clocks = {name: (random.uniform(-300_000, 300_000), 1 + random.uniform(-1e-4, 1e-4)) for name in AGENTS}
    clocks["gateway"] = (0.0, 1.0)
    happenings = _life(random, hours) + _people(random, hours)
    favourites = random.sample(sorted(_FAULTS), random.randint(4, len(_FAULTS)))
    for _ in range(round(random.uniform(12, 36) * hours / 2 * faults)):
        kind = random.choice(favourites)
        at_s = random.uniform(30.0, hours * 3600 * 0.98)
        happenings.append(Happening(round(at_s, 3), kind, _FAULTS[kind](random)))
    happenings.sort(key=lambda one: (one.at_s, one.kind))
    return Plan(seed, hours, limits, clocks, tuple(happenings))


def _life(random: Random, hours: float) -> list[Happening]:
    """Fires and other events of the equipment; no two of the same point at once."""
    end_s = hours * 3600
    life = []
    for point in FIRE_POINTS:
        at_s = random.uniform(20, 2400)
        while at_s < end_s - 400:
            for_s = random.choice((random.uniform(15, 60), random.uniform(60, 400)))
            life.append(Happening(round(at_s, 3), "fire", {"point": point, "for_s": round(for_s, 3)}, is_life=True))
            at_s += for_s + random.uniform(60, 4000)
    for hydrant in HYDRANTS:
        at_s = random.uniform(60, 1500)
        while at_s < end_s - 400:
            kind = random.choice(("cap", "pressure", "impact"))
            for_s = random.uniform(30, 300)
            args: dict[str, Any] = {"device": hydrant, "for_s": round(for_s, 3)}
            if kind == "pressure":
                args["kpa"] = random.choice((50.0, 120.0, 900.0))
            life.append(Happening(round(at_s, 3), kind, args, is_life=True))
            at_s += for_s + random.uniform(60, 2500)
    return life


def _people(random: Random, hours: float) -> list[Happening]:
    """What people do at the gateway."""
    done = []
    for _ in range(round(random.uniform(10, 40) * hours / 2)):
        kind = random.choice(("acknowledge", "acknowledge", "acknowledge", "shelve", "note", "take_out", "drill"))
        args: dict[str, Any] = {"who": random.choice(("wang", "li")), "which": random.random()}
        if kind in ("shelve", "drill", "take_out"):
            args["for_s"] = round(random.uniform(30, 600), 3)
        done.append(Happening(round(random.uniform(60, hours * 3600 * 0.97), 3), kind, args, is_life=True))
    if random.random() < 0.25:
        done.append(Happening(round(random.uniform(300, hours * 3600 * 0.9), 3), "reload", {}, is_life=True))
    return done


def _span(random: Random) -> float:
    """How long a trouble lasts: mostly seconds, sometimes long."""
    return round(random.choice((random.uniform(0.2, 5), random.uniform(5, 60), random.uniform(60, 900))), 3)


_FAULTS: dict[str, Any] = {
    "crash": lambda r: {
        "process": r.choice(PROCESSES), "effect": r.randint(1, 60), "power": r.random() < 0.5,
        "down_s": round(r.choice((0.5, 2.0, r.uniform(2, 120))), 3),
    },
    "cut": lambda r: {
        "process": r.choice(PROCESSES), "ways": r.choice(("up", "down", "both")), "for_s": _span(r),
    },
    "slow": lambda r: {"process": r.choice(PROCESSES), "delay_s": round(r.uniform(0.2, 3), 3), "for_s": _span(r)},
    "lossy": lambda r: {"process": r.choice(PROCESSES), "share": round(r.uniform(0.05, 0.6), 3), "for_s": _span(r)},
    "repeat": lambda r: {"process": r.choice(PROCESSES), "share": round(r.uniform(0.05, 0.8), 3), "for_s": _span(r)},
    "reset": lambda r: {"process": r.choice(PROCESSES), "times": r.randint(1, 10)},
    "replay": lambda r: {"share": round(r.uniform(0.02, 0.5), 3)},
    "broker": lambda r: {"wiped": r.random() < 0.5, "down_s": _span(r)},
    "disk": lambda r: {"process": r.choice(PROCESSES), "why": r.choice(DISK_FAULTS), "for_s": _span(r)},
    "slow_disk": lambda r: {"process": r.choice(PROCESSES), "times": round(r.uniform(10, 300), 1), "for_s": _span(r)},
    "unplug": lambda r: {"line": r.choice(LINES), "for_s": _span(r)},
    "silent": lambda r: {"device": r.choice(DEVICES), "for_s": _span(r)},
    "noise": lambda r: {
        "line": r.choice(LINES), "share": round(r.uniform(0.05, 0.9), 3), "leak": 0.02, "for_s": _span(r),
    },
    "late": lambda r: {"line": r.choice(LINES), "share": round(r.uniform(0.05, 0.9), 3), "for_s": _span(r)},
    "sink": lambda r: {
        "way": r.choice(WAYS), "how": r.choice(("fails", "hangs", "dies_after")),
        "share": round(r.uniform(0.3, 1), 3), "for_s": _span(r),
    },
    "clock": lambda r: {
        "process": r.choice(PROCESSES),
        "jump_s": round(r.choice((r.uniform(-5, 5), r.uniform(-3600, 3600), -86400.0, 86400.0)), 3),
    },
}  # fmt: skip
