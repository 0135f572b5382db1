"""Warm kernels are kernels: the same world, the same numbers, and the same end."""

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager
from jupyter_client.provisioning import KernelProvisionerFactory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux alone")
WORLD = """
import gc, json, os, signal, sys, threading
import ipywidgets, pandas, plotly.io, tqdm.auto
import __main__
print(json.dumps({
    "argv": [sys.argv[0], sys.argv[1]],
    "path": sys.path,
    "flags": str(sys.flags),
    "names": sorted(vars(__main__)),
    "environment": {k: v for k, v in os.environ.items() if not k.startswith("JPY_")},
    "launched by": os.environ["JPY_PARENT_PID"],
    "folder": os.getcwd(),
    "signals": [str(signal.getsignal(n)) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)],
    "threads": sorted(thread.name.split("-")[0] for thread in threading.enumerate()),
    "collected": [gc.isenabled(), gc.get_threshold()],
    "leads its session": os.getsid(0) == os.getpgid(0) == os.getpid(),
    "input": sys.__stdin__.read(),
    "tables": pandas.get_option("display.max_columns"),
    "bars": str(tqdm.auto.tqdm.__mro__),
    "figures": plotly.io.renderers.default,
    "widgets": sorted(get_ipython().kernel.comm_manager.targets),
}))
"""
LAUNCH = """
import sys, time
from jupyter_client.manager import start_new_kernel
manager, client = start_new_kernel()
print(manager.provisioner.pid, flush=True)
time.sleep(600)
"""
Start = Callable[..., tuple[KernelManager, Any]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start kernels, which end with the test."""
    started: list[tuple[KernelManager, Any]] = []

    def begin(cwd: Path | None = None, **environment: str) -> tuple[KernelManager, Any]:
        manager = KernelManager()
        manager.start_kernel(env={**os.environ, **environment}, cwd=cwd)
        client = manager.blocking_client()
        client.start_channels()
        started.append((manager, client))
        client.wait_for_ready(timeout=600)
        return manager, client

    yield begin
    for manager, client in started:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def run(client: Any, code: str) -> str:
    """Run code in a kernel, and return what it wrote."""
    said = []

    def hear(message: dict[str, Any]) -> None:
        assert message["msg_type"] != "error", message["content"]
        if message["msg_type"] == "stream":
            said.append(message["content"]["text"])

    client.execute_interactive(code, output_hook=hear, timeout=600)
    return "".join(said)


def test_a_warm_kernel_is_in_the_world_of_a_cold_one(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    factory = KernelProvisionerFactory.instance(parent=KernelSpecManager())
    _, client = start(tmp_path, MELNB_ROOT="there")
    warm = json.loads(run(client, WORLD))
    monkeypatch.setattr(factory, "default_provisioner_name", "local-provisioner")
    _, client = start(tmp_path, MELNB_ROOT="there")
    assert json.loads(run(client, WORLD)) == warm
    assert warm["environment"]["MELNB_ROOT"] == "there"
    assert warm["folder"] == str(tmp_path)


def test_kernels_share_neither_names_nor_random_numbers(start: Start) -> None:
    draw = "import random, numpy; print(random.random(), numpy.random.rand()); mine = 1"
    (_, one), (_, other) = start(), start()
    first, second = run(one, draw).split(), run(other, draw).split()
    assert not set(first) & set(second)
    assert run(start()[1], "print('mine' in globals())") == "False\n"


def test_nothing_is_said_at_the_imports(start: Start, warm: Path) -> None:
    start()
    assert (warm / "parent.log").read_text() == ""


@pytest.mark.parametrize(
    ("wanted", "differing"),
    [
        ({}, "PYTHONPATH"),
        ({"PYTHONPATH": "a"}, ""),
        ({"PYTHONPATH": "a", "MELNB_ROOT": "b", "JPY_PARENT_PID": "1"}, ""),
        ({"PYTHONPATH": "a", "KERAS_BACKEND": "tensorflow"}, ""),
        ({"PYTHONPATH": "a", "KERAS_BACKEND": "jax"}, "KERAS_BACKEND"),
        ({"PYTHONPATH": "a", "TF_CPP_MIN_LOG_LEVEL": "0"}, "TF_CPP_MIN_LOG_LEVEL"),
        ({"PYTHONPATH": "a", "XLA_FLAGS": "--any"}, "XLA_FLAGS"),
    ],
)
def test_what_is_read_at_an_import_makes_a_kernel_cold(
    wanted: dict[str, str], differing: str
) -> None:
    before = {"PYTHONPATH": "a", "HOME": "/"}
    after = {**before, "TF_CPP_MIN_LOG_LEVEL": "2", "KERAS_BACKEND": "tensorflow"}
    parent = importlib.import_module("melnb_warm_parent")
    assert parent.differing(wanted, before, after) == differing


def test_an_interrupt_stops_the_cell_and_not_the_kernel(start: Start, tmp_path: Path) -> None:
    manager, client = start(tmp_path)
    endless = "open('begun', 'w').close()\nimport time\nwhile True: time.sleep(0.01)"
    asked = client.execute(endless, stop_on_error=False)  # or the next may be thrown away with it
    wait_until((tmp_path / "begun").exists)
    manager.interrupt_kernel()
    reply = client.get_shell_msg(timeout=600)
    while reply["parent_header"]["msg_id"] != asked:  # a late answer to `wait_for_ready`
        reply = client.get_shell_msg(timeout=600)
    assert reply["content"]["ename"] == "KeyboardInterrupt"
    assert run(client, "print('well')") == "well\n"


@pytest.mark.parametrize("how", ["os._exit(3)", "os.kill(os.getpid(), 9)"])
def test_a_dead_kernel_is_seen_with_how_it_ended(start: Start, how: str) -> None:
    manager, client = start()
    process = manager.provisioner.process
    assert process.poll() is None
    client.execute(f"import os; {how}")
    assert process.wait() == (3 if "3" in how else -signal.SIGKILL)
    assert not manager.is_alive()
    assert not psutil.pid_exists(process.pid), "nobody buried it"


@pytest.mark.parametrize("way", [signal.SIGTERM, signal.SIGKILL])
def test_a_kernel_ends_with_whoever_launched_it(way: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", LAUNCH], stdout=subprocess.PIPE) as launcher:
        assert launcher.stdout is not None
        pid = int(launcher.stdout.readline())
        assert psutil.pid_exists(pid)
        launcher.send_signal(way)
    wait_until(lambda: not psutil.pid_exists(pid))


def test_a_parent_ends_with_its_owner(tmp_path: Path) -> None:
    parent = importlib.import_module("melnb_warm_parent")
    with subprocess.Popen(["sleep", "600"]) as owner:
        started = parent.start(tmp_path, owner.pid)
        owner.kill()
    started.wait(600)


def test_a_kernel_watches_its_parent(start: Start) -> None:
    watched = "import os; print(get_ipython().kernel.parent.poller.parent_pid - os.getppid())"
    assert run(start()[1], watched) == "0\n"


def wait_until(done: Callable[[], bool]) -> None:
    for _ in range(60_000):  # ten minutes: a busy machine is no failure
        if done():
            return
        time.sleep(0.01)
    pytest.fail("it never came to be")
