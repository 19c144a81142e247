"""What every test has: nothing may outlive it, and the real parts are one fixture away."""

from __future__ import annotations

import asyncio
import inspect
import multiprocessing.resource_tracker
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator

import psutil
import pytest

from tests.parts import process
from tests.parts.influxdb1 import InfluxDB1
from tests.parts.mosquitto import Mosquitto
from tests.parts.process import Part
from tests.parts.victoria_metrics import VictoriaMetrics

GRACE_S = 3.0
"""What is on its way out gets this long before it counts as left behind."""
SITE_AGENTS = ("shuiye/edge1", "shuiye/edge2", "beiyuan/edge1")
_SHARED = pytest.StashKey[list[Part]]()


@pytest.fixture
def free_port() -> int:
    """A loopback TCP port that was free a moment ago."""
    return process.free_port()


def _share(request: pytest.FixtureRequest, part: Part) -> Part:
    request.config.stash.setdefault(_SHARED, []).append(part)
    return part


@pytest.fixture(scope="session")
def mosquitto(request: pytest.FixtureRequest) -> Iterator[Mosquitto]:
    """Mosquitto with passwords and the shipped ACL; users `gateway` and SITE_AGENTS. Shared: leave it running."""
    with Mosquitto(SITE_AGENTS) as part:
        _share(request, part)
        yield part


@pytest.fixture(scope="session")
def influxdb1(request: pytest.FixtureRequest) -> Iterator[InfluxDB1]:
    """InfluxDB 1.x with one admin user. Shared: leave it running and use a database of your own."""
    with InfluxDB1() as part:
        _share(request, part)
        yield part


@pytest.fixture(scope="session")
def victoria_metrics(request: pytest.FixtureRequest) -> Iterator[VictoriaMetrics]:
    """VictoriaMetrics. Shared: leave it running and use tags of your own."""
    with VictoriaMetrics() as part:
        _share(request, part)
        yield part


def _threads() -> set[threading.Thread]:
    # Threads of a loop's own executor end when pytest-asyncio closes the loop, which is after this check.
    return {thread for thread in threading.enumerate() if not thread.daemon and not thread.name.startswith("asyncio_")}


def _children(config: pytest.Config) -> set[psutil.Process]:
    # The tracker is Python's own and lives as long as the interpreter.
    exempt = {multiprocessing.resource_tracker._resource_tracker._pid}  # type: ignore[attr-defined] # no public name
    exempt |= {part.pid for part in config.stash.get(_SHARED, [])}
    found = set()
    for child in psutil.Process().children():
        try:
            if child.pid not in exempt and child.status() != psutil.STATUS_ZOMBIE:
                found.add(child)
        except psutil.NoSuchProcess:
            continue
    return found


def _left(now: Callable[[], set], before: set) -> set:  # type: ignore[type-arg] # threads or processes alike
    deadline = time.monotonic() + GRACE_S
    while left := now() - before:
        if time.monotonic() > deadline:
            return left
        time.sleep(0.01)
    return set()


@pytest.fixture(autouse=True)
def _nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test that leaves a thread (not daemon) or a child process behind."""
    threads, children = _threads(), _children(request.config)
    if inspect.iscoroutinefunction(getattr(request, "function", None)):
        request.getfixturevalue("_no_task_left_behind")
    yield
    problems = [f"thread {thread.name}" for thread in _left(_threads, threads)]
    for child in _left(lambda: _children(request.config), children):
        problems.append(f"process {child.pid} {child.name()}")
        child.kill()
    if problems:
        pytest.fail(f"left behind: {', '.join(problems)}. Stop what the test starts.", pytrace=False)


@pytest.fixture
async def _no_task_left_behind() -> AsyncIterator[None]:
    """Fails an async test that leaves a task running on its loop."""
    before = asyncio.all_tasks()
    yield
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    if left:
        _, left = await asyncio.wait(left, timeout=GRACE_S)
    names = sorted(task.get_name() for task in left)
    for task in left:
        task.cancel()
    if names:
        pytest.fail(f"left behind: task {', '.join(names)}. Stop what the test starts.", pytrace=False)
