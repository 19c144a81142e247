"""Runs the mutants of modules by forks of one pytest session; see bench/mutants.py."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType, FunctionType, ModuleType
from typing import Any, NamedTuple, NoReturn

import pytest

from bench.mutants import Mutant

SLOWEST_S = 0.4
"""A test that takes longer takes no part: a mutant that only such tests would notice counts as a survivor."""
MOST_TESTS = 200
"""Tests of a mutant at most: the shortest of those that run its line."""
PATIENCE = 4.0
"""A mutant has this many times as long as its tests take on the whole program, and `GRACE_S` more."""
GRACE_S = 5.0
_OURS = ("contract", "rules", "edge_agents", "gateway", "simulators", "cli", "tests")
_PLAIN = (bool, int, float, str, bytes, tuple, frozenset, dict, set, list)


class _Measured(NamedTuple):
    """One test: how long it takes, and which lines of which of the modules it runs."""

    item: pytest.Item
    seconds: float
    lines: frozenset[tuple[str, int]]


def run(
    trees: dict[str, ast.Module], mutants: Sequence[Mutant], tests: Sequence[str], jobs: int, verdicts: int
) -> NoReturn:
    """Run the mutants, write the verdicts as lines `[number, verdict]` to that descriptor, and end the process."""
    import hypothesis

    hypothesis.settings.register_profile("mutants", derandomize=True, database=None)
    hypothesis.settings.load_profile("mutants")
    for name in [name for name in sys.modules if name.partition(".")[0] in _OURS]:
        del sys.modules[name]  # the command line has imported some, of another tree perhaps
    sink = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(sink, stream)
    # Hypothesis was imported ahead of pytest, on purpose.
    options = ["-q", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
    status = pytest.main([*options, *tests], plugins=[_Loop(trees, mutants, jobs, verdicts)])
    os._exit(int(status))


class _Loop:
    """Takes the place of the loop that runs the tests."""

    def __init__(self, trees: dict[str, ast.Module], mutants: Sequence[Mutant], jobs: int, verdicts: int) -> None:
        self._trees = trees
        self._mutants = mutants
        self._jobs = jobs
        self._verdicts = verdicts

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Measure the tests on the whole program, then run every mutant."""
        measured = self._measure(session)
        if session.testsfailed:
            raise session.Failed
        waiting, running = list(enumerate(self._mutants))[::-1], dict[int, tuple[int, float]]()
        while waiting or running:
            while waiting and len(running) < self._jobs:
                number, mutant = waiting.pop()
                mine = _for_mutant(measured, mutant)
                most_s = PATIENCE * sum(each.seconds for each in mine) + GRACE_S
                running[self._fork(session, mutant, mine)] = (number, time.monotonic() + most_s)
            for pid, (number, until_s) in list(running.items()):
                done, status = os.waitpid(pid, os.WNOHANG)
                if not done and time.monotonic() < until_s:
                    continue
                if not done:
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
                del running[pid]
                by = "slow" if not done else "survived" if status == 0 else "killed"
                os.write(self._verdicts, f"{json.dumps([number, by])}\n".encode())
            time.sleep(0.005)
        return True

    def _measure(self, session: pytest.Session) -> list[_Measured]:
        quick: list[tuple[pytest.Item, float]] = []
        for item in session.items:
            began_s = time.monotonic()
            _play(session, item, None)
            took_s = time.monotonic() - began_s
            if took_s <= SLOWEST_S:
                quick.append((item, took_s))
        names = {str(Path(path).resolve()): path for path in self._trees}
        measured = []
        for item, took_s in sorted(quick, key=lambda each: each[1]):
            with _traced(names) as lines:
                _play(session, item, None)
            measured.append(_Measured(item, took_s, frozenset(lines)))
        return measured

    def _fork(self, session: pytest.Session, mutant: Mutant, tests: list[_Measured]) -> int:
        pid = os.fork()
        if pid:
            return pid
        with contextlib.suppress(BaseException):  # whatever ends it, this process must end here
            mutant.apply()
            _replace(mutant.path, self._trees[mutant.path])
            for each in tests:
                _play(session, each.item, None)
                if session.testsfailed:
                    os._exit(1)
            os._exit(0)
        os._exit(1)


def _for_mutant(measured: list[_Measured], mutant: Mutant) -> list[_Measured]:
    """The tests that run one of the lines of the mutant's statement; every test when it is run at loading."""
    if mutant.is_loading:
        return measured[:MOST_TESTS]
    lines = {(mutant.path, line) for line in range(mutant.line, mutant.end + 1)}
    return [each for each in measured if not lines.isdisjoint(each.lines)][:MOST_TESTS]


def _play(session: pytest.Session, item: pytest.Item, following: pytest.Item | None) -> None:
    session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)


@contextlib.contextmanager
def _traced(names: dict[str, str]) -> Iterator[set[tuple[str, int]]]:
    """The lines (module, number) of these files that are run within."""
    lines: set[tuple[str, int]] = set()

    def on_call(frame: FrameType, _event: str, _value: Any) -> Any:
        path = names.get(frame.f_code.co_filename)
        if path is None:
            return None

        def on_line(frame: FrameType, _event: str, _value: Any) -> Any:
            lines.add((path, frame.f_lineno))
            return on_line

        return on_line

    before = sys.gettrace()
    sys.settrace(on_call)
    try:
        yield lines
    finally:
        sys.settrace(before)


# --- putting one in --------------------------------------------------------------------------------------------------


def _replace(path: str, tree: ast.Module) -> None:
    """Give the module's functions and constants what the changed tree makes of them."""
    name = path.removesuffix(".py").replace("/", ".")
    live = sys.modules[name]
    twin = ModuleType(name)
    twin.__dict__.update(__file__=live.__file__, __package__=live.__package__)
    code = compile(ast.fix_missing_locations(tree), str(live.__file__), "exec")
    exec(code, twin.__dict__)  # that is what loading a module is
    _take_over(vars(live), vars(twin), name)
    for key, new in vars(twin).items():
        old = vars(live).get(key)
        if key[:2] != "__" and isinstance(new, _PLAIN) and new != old:
            if hasattr(new, "_fields"):  # made of the twin's own class
                new = vars(live)[type(new).__name__]._make(new)
            for other in [m for n, m in list(sys.modules.items()) if n.partition(".")[0] in _OURS]:
                if key in vars(other) and vars(other)[key] is old:
                    setattr(other, key, new)


def _take_over(old: Any, new: Any, module: str) -> None:
    for key, mine in new.items():
        its = old.get(key)
        if isinstance(mine, type) and isinstance(its, type) and mine.__module__ == module:
            _take_over(vars(its), vars(mine), module)
            continue
        for a_function, another in zip(_functions(its), _functions(mine), strict=False):
            if a_function.__code__ != another.__code__:
                a_function.__code__ = another.__code__
            a_function.__defaults__, a_function.__kwdefaults__ = another.__defaults__, another.__kwdefaults__


def _functions(value: object) -> Iterator[FunctionType]:
    if isinstance(value, property):
        yield from (each for each in (value.fget, value.fset) if isinstance(each, FunctionType))
    elif isinstance(value, staticmethod | classmethod):
        yield from _functions(value.__func__)
    elif isinstance(value, FunctionType):
        yield value
        if (wrapped := getattr(value, "__wrapped__", None)) is not None:
            yield from _functions(wrapped)
