"""Kernels from a warm parent, for jupyter_client: started in no time, else as any other."""

import asyncio
import json
import os
import select
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning import LocalProvisioner
from melnb_starts import WHY
from melnb_warm_parent import PARENT_LOG, SOCKET

ANSWER = 1 << 10  # bytes


class WarmProcess:
    """A kernel that is another process's child, with what is needed of `subprocess.Popen`."""

    stdin = stdout = stderr = None
    living: set["WarmProcess"] = set()  # noqa: RUF012 - a kernel outlives who forgets it

    def __init__(self, parent: socket.socket, pid: int) -> None:
        self.parent, self.pid, self.returncode = parent, pid, None
        self.living.add(self)

    def poll(self) -> int | None:
        if self.returncode is None:
            try:
                message = self.parent.recv(ANSWER, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return None
            except ConnectionError:
                message = b""
            # Without a parent it dies too.
            self.returncode = json.loads(message)["ended"] if message else -signal.SIGKILL
            self.parent.close()
            self.living.discard(self)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int | None:
        if self.poll() is None:
            select.select([self.parent], [], [], timeout)
        return self.poll()

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class WarmProvisioner(LocalProvisioner):
    """Asks the parent for a kernel; one that it refuses is started as it always was."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        pipes = [kwargs.get(name) for name in ("stdin", "stdout", "stderr")]
        streams = any(isinstance(pipe, int) for pipe in pipes) or pipes[0] is not None
        usual = cmd[:3] == [sys.executable, "-m", "ipykernel_launcher"]
        why = "its command" if streams or kwargs.get("independent") or not usual else ""
        why = why or await self._ask(cmd[3:], **kwargs)
        if not why:
            return self.connection_info
        kwargs["env"] = {**kwargs.get("env", os.environ), WHY: f"for {why}"}
        return await super().launch_kernel(cmd, **kwargs)

    async def _ask(self, arguments: list[str], **kwargs: Any) -> str:
        """Have the parent start the kernel, or return which variable it must be new for."""
        self.cwd = str(kwargs.get("cwd") or Path.cwd())
        environment = {**kwargs.get("env", os.environ), "JPY_PARENT_PID": str(os.getpid())}
        request = {"arguments": arguments, "cwd": self.cwd, "env": environment}
        loop = asyncio.get_running_loop()
        parent = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        parent.setblocking(False)
        folder = Path(os.environ["MELNB_WARM"])
        try:
            await loop.sock_connect(parent, str(folder / SOCKET))
            files = [kwargs.get(name) for name in ("stdout", "stderr")]
            outs = [k if file is None else file.fileno() for k, file in enumerate(files, start=1)]
            socket.send_fds(parent, [json.dumps(request).encode()], outs)
            answer = json.loads(await loop.sock_recv(parent, ANSWER))
        except (OSError, ValueError) as error:
            said = (folder / PARENT_LOG).read_text()
            raise RuntimeError(f"the parent of warm kernels has died: {said}") from error
        if "pid" not in answer:
            parent.close()
            if "refused" in answer:
                return str(answer["refused"])
            raise RuntimeError(f"a warm kernel ended as it began: {answer}")
        self.process = WarmProcess(parent, answer["pid"])
        self.pid = self.pgid = self.process.pid
        return ""
