"""The parent of warm kernels: it imports once what notebooks import, and forks for each kernel.

It waits on a socket, for little more than a bare Python, until the first kernel is asked for. What
it imports starts no thread and computes nothing, so that a fork is a process as good as new; what
differs from one that imported by itself is put right in the child. It ends with its owner, and a
kernel with the process that asked for it, however they end.
"""

import builtins
import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import melnb_kills

SOCKET, PARENT_LOG = "socket", "parent.log"
DOORS = ("tables", "params", "runs", "data", "models", "evaluation", "display")
# What lies behind no door, and what every kernel imports.
MORE = (
    "melnb.models.accelerator",  # before TensorFlow, whose messages it settles
    *("ipykernel.ipkernel", "ipykernel.kernelapp", "ipykernel_launcher", "ipywidgets", "anywidget"),
    *("tensorflow", "keras", "scipy.stats", "sklearn.ensemble", "sklearn.linear_model"),
    *("sklearn.model_selection", "skimage", "lightgbm"),
)
# Variables that are read at an import: a kernel that wants other values than its parent is cold.
AT_IMPORT = (
    *("PYTHON", "KERAS_", "TF", "XLA_", "JAX_", "OMP_", "MKL_", "KMP_", "OPENBLAS_", "LD_", "LC_"),
    *("LANG", "CUDA_", "TPU_", "COLAB_", "NUMPY_", "NPY_", "SKLEARN_", "SCIPY_", "PLOTLY_"),
    *("MALLOC_", "IPYTHON", "TZ", "GOTO_", "NUMEXPR_", "VECLIB_"),
)
REQUEST = 1 << 17  # bytes, its environment included


def start(folder: Path, owner: int) -> "subprocess.Popen[bytes]":
    """Start a parent that ends with its owner; its socket and log lie in a folder."""
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener,
        (folder / PARENT_LOG).open("w") as log,
    ):
        listener.bind(str(folder / SOCKET))
        listener.listen(64)
        return subprocess.Popen(
            [sys.executable, __file__, str(listener.fileno()), str(owner)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is its owner's to hear
            pass_fds=[listener.fileno()],
        )


class Late:
    """A stream that is looked up when written to: libraries keep the one of their import."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __getattr__(self, attribute: str) -> Any:
        stream = getattr(sys, self.name)
        return getattr(getattr(sys, f"__{self.name}__") if stream is self else stream, attribute)

    def close(self) -> None:
        """Stay open: IPython's logging begins by closing every handler that is there."""


def import_all() -> None:
    """Import all that lies behind the doors, and `MORE`, and leave out what melnb does."""
    from melnb.tables.processes import GRAMMAR, without

    with without("jax", GRAMMAR):
        for module in MORE:
            __import__(module)
    for room in DOORS:
        door = importlib.import_module(f"melnb.{room}")
        for name in dir(door):
            getattr(door, name)


@contextlib.contextmanager
def as_if_in_a_kernel() -> Iterator[None]:
    """Let plotly, pandas, tqdm and ipywidgets see a shell, for which they ask at their import."""
    from ipykernel.zmqshell import ZMQInteractiveShell
    from IPython import get_ipython
    from traitlets.config import Config

    shell = ZMQInteractiveShell.__new__(ZMQInteractiveShell)
    shell.config.IPKernelApp = Config()
    classes = list(ZMQInteractiveShell._walk_mro())
    for each in classes:
        each._instance = shell
    builtins.get_ipython = get_ipython  # type: ignore[attr-defined]
    yield
    del builtins.get_ipython  # type: ignore[attr-defined]
    for each in classes:
        each._instance = None


def become_ready() -> dict[str, str]:
    """Import everything, and return the environment of which a kernel's may not differ."""
    os.environ["JPY_PARENT_PID"] = str(os.getpid())  # whose death a kernel watches: read at import
    sys.stdout, sys.stderr = Late("stdout"), Late("stderr")  # type: ignore[assignment]
    with as_if_in_a_kernel():
        import_all()
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__  # type: ignore[assignment]
    if threading.active_count() > 1:
        raise SystemExit(f"an import started threads, which a fork loses: {threading.enumerate()}")
    gc.collect()
    gc.freeze()  # what is never touched is never copied
    return {**os.environ, "KERAS_BACKEND": sys.modules["keras"].backend.backend()}


def differing(wanted: dict[str, str], before: dict[str, str], after: dict[str, str]) -> str:
    """Return a variable in which a kernel would differ from its parent; empty if there is none.

    Args:
        wanted: The kernel's environment.
        before: The parent's as it began.
        after: The parent's with what its imports settled, as they would in a kernel.
    """
    for name in sorted(wanted.keys() | after.keys()):
        own = after.get(name)
        unset = None if name in before else own  # an import would set it
        if name.startswith(AT_IMPORT) and wanted.get(name, unset) != own:
            return name
    return ""


class Parent:
    """Forks for whoever asks by the socket, and tells how each kernel ended.

    Args:
        listener: The socket that callers connect to.
        owner: The process with which all ends.
    """

    def __init__(self, listener: socket.socket, owner: int) -> None:
        self.listener, self.end = listener, os.pidfd_open(owner)
        self.kernels: dict[int, tuple[int, socket.socket]] = {}  # by descriptor of the process
        self.before, self.after = dict(os.environ), dict[str, str]()
        self.poller = select.poll()
        for descriptor in (self.end, listener.fileno()):
            self.poller.register(descriptor, select.POLLIN)

    def serve(self) -> tuple[dict[str, Any], list[int], socket.socket]:
        """Wait and fork; return in a child alone, with what is asked of it.

        Returns:
            The request, descriptors for its standard output and error, and whom to answer.
        """
        while True:
            descriptor = self.poller.poll()[0][0]  # one by one: what it does may close the others
            if descriptor == self.end:
                os._exit(0)  # each kernel misses its parent within a second
            elif descriptor == self.listener.fileno():
                self.after = self.after or become_ready()
                if asked := self.take():
                    return asked
            elif descriptor in self.kernels:
                self.bury(descriptor)
            else:  # whoever asked for it has died
                self.poller.unregister(descriptor)
                for pid, caller in self.kernels.values():
                    if caller.fileno() == descriptor:
                        os.kill(pid, signal.SIGKILL)

    def take(self) -> tuple[dict[str, Any], list[int], socket.socket] | None:
        """Fork for the next caller, unless it wants another world than this one."""
        caller, _ = self.listener.accept()
        message, outs, *_ = socket.recv_fds(caller, REQUEST, 2)
        if not message:  # killed as it asked
            caller.close()
            return None
        request = json.loads(message)
        if refused := differing(request["env"], self.before, self.after):
            tell(caller, refused=refused)
            caller.close()
            pid = -1
        elif not (pid := fork()):
            for descriptor, (_, other) in self.kernels.items():
                os.close(descriptor)
                other.close()
            self.listener.close()
            os.close(self.end)
            return request, outs, caller
        for descriptor in outs:
            os.close(descriptor)
        if pid > 0:
            process = os.pidfd_open(pid)
            self.kernels[process] = pid, caller
            for descriptor in (process, caller.fileno()):
                self.poller.register(descriptor, select.POLLIN)
        return None

    def bury(self, process: int) -> None:
        """Tell how a kernel ended."""
        pid, caller = self.kernels.pop(process)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        tell(caller, ended=code)
        self.poller.unregister(process)
        with contextlib.suppress(KeyError):
            self.poller.unregister(caller.fileno())
        os.close(process)
        caller.close()


def tell(caller: socket.socket, **answer: Any) -> None:
    with contextlib.suppress(OSError):  # nobody is there to be told
        caller.send(json.dumps(answer).encode())


def fork() -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of threads: OpenBLAS has some, and ends them at a fork
        return os.fork()


def become_kernel(request: dict[str, Any], outs: list[int], caller: socket.socket) -> None:
    """Do in a child what `python -m ipykernel_launcher` does in a new process."""
    os.setsid()
    for number, descriptor in enumerate(outs, start=1):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.modules["numpy"].random.seed()  # as Python's own is at any fork
    melnb_kills.arm("kernel")
    sys.argv = [str(sys.modules["ipykernel_launcher"].__file__), *request["arguments"]]
    tell(caller, pid=os.getpid())
    caller.close()
    sys.modules["ipykernel.kernelapp"].launch_new_instance()


if __name__ == "__main__":
    del sys.path[0]  # this file's folder, where a kernel has none
    with socket.socket(fileno=int(sys.argv[1])) as waiting:
        asked = Parent(waiting, owner=int(sys.argv[2])).serve()
    become_kernel(*asked)
