"""Voila behind a locked door: one page for the one person who knows its address, and one kernel.

Whatever is not named here is shut. A request that does not bear the secret, or comes by another
name than this machine's own, or from another site's page, is refused before anything else hears of
it: it starts no kernel. What is served can load nothing from elsewhere.

`melnb.running.voila` runs this as a process of its own. The first line of its standard input says
what to serve; that input ends with the caller, however it ended, and all of this with it.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import AsyncIterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import zmq
from jupyter_core.utils import run_sync
from jupyter_server.auth.identity import IdentityProvider, User
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPHeaders, HTTPServerRequest
from tornado.ioloop import IOLoop
from tornado.netutil import bind_sockets
from tornado.routing import Matcher, Rule
from tornado.web import Application, OutputTransform, RequestHandler
from traitlets.config import Config
from voila.app import Voila
from voila.tornado.handler import TornadoVoilaHandler

from melnb.running.kernels import PATIENCE, takes_sockets
from melnb.running.voila import HOST, PORT_FILE
from melnb.tables.files import replacing

_NAMES = (HOST, "localhost")  # by which a browser on this machine may call it
_TEMPLATES = Path(__file__).parent / "page_template"
_IDLE = 3600  # seconds that a kernel stays without a page
# The parts of Voila that the page asks for, by the ends of their addresses.
_KERNEL = r"/api/kernels/(?P<kernel_id>\w+-\w+-\w+-\w+-\w+)"
_OPEN = (
    *(_KERNEL, f"{_KERNEL}/channels"),
    "/voila/templates/(.*)",
    "/voila/static/(.*)",
    "/voila/labextensions/(.*)",
)
_EXTENSIONS = [
    "@jupyter-widgets/jupyterlab-manager",
    "@voila-dashboards/widgets-manager8",
    "anywidget",
]
_FAILED = "melnb-failed"  # in a page whose notebook stopped
_END = ""  # after the last part of a page
_REFUSAL = "Not for you: open the whole address that `melnb explore` printed.\n"


class Server(Voila):  # type: ignore[misc]
    """Voila for one notebook.

    Args:
        notebook: Alone in a folder that is ours and goes when the server ends.
        secret: The first part of every address.
        port: Where to listen; 0: any that is free.
    """

    def __init__(self, notebook: Path, *, secret: str, port: int) -> None:
        super().__init__(config=_settings(notebook.parent))
        self.folder, self.secret = notebook.parent, secret
        self.ip, self.port, self.base_url = HOST, port, f"/{secret}/"
        self.initialize([str(notebook)])

    def setup_template_dirs(self) -> None:
        """Let our page, which names no other host, take the place of Voila's."""
        super().setup_template_dirs()
        self.template_paths.insert(0, str(_TEMPLATES))

    def init_handlers(self) -> list[Any]:
        """Return Voila's handlers without those that the page does not need, and the page."""
        *others, (_, _, options) = super().init_handlers()
        return [
            *(handler for handler in others if handler[0].endswith(_OPEN)),
            (f"{self.server_url}?", _Page, options | {"once": _Once(self.kernel_manager)}),
        ]

    def listen(self) -> None:
        """Shut the door, open the port, say which it is, and serve until told to stop."""
        try:
            sockets = bind_sockets(self.port, self.ip)
        except OSError as error:
            sys.exit(f"port {self.port}: {error.strerror}: name another, or none")
        port = sockets[0].getsockname()[1]
        lock_up(self.app, secret=self.secret, port=port)
        HTTPServer(self.app).add_sockets(sockets)
        self.port, self.ioloop = port, IOLoop.current()
        threading.Thread(target=_wait_for_caller, args=(self.ioloop,), daemon=True).start()
        with replacing(self.folder / PORT_FILE) as file:
            file.write_text(str(port), encoding="utf-8")
        try:
            self.ioloop.start()
        finally:
            self.stop()

    def stop(self) -> None:
        """End the kernels, and then the folder with their sockets."""
        run_sync(self.kernel_manager.shutdown_all)(now=True)
        shutil.rmtree(self.folder, ignore_errors=True)


def lock_up(app: Application, *, secret: str, port: int) -> None:
    """Refuse strangers before anything else hears of them, and let pages load from here alone."""
    app.default_router.rules.insert(0, Rule(_Strangers(secret, port), _Refusal))
    app.add_transform(_Sealed)


class _Strangers(Matcher):
    """Matches what is to be refused."""

    def __init__(self, secret: str, port: int) -> None:
        self._secret = secret.encode()
        self._hosts = {f"{name}:{port}" for name in _NAMES}
        self._origins = {f"http://{host}" for host in self._hosts} | {None}  # None: no page's

    def match(self, request: HTTPServerRequest) -> dict[str, Any] | None:
        """Return None for a request that may come in."""
        begin = request.path.split("/", 2)[1:2] or [""]
        allowed = (
            hmac.compare_digest(begin[0].encode(), self._secret)
            and request.headers.get_list("Host")[-1:] == [request.host]
            and request.host in self._hosts  # else a name of a stranger's, which leads here
            and request.headers.get("Origin") in self._origins
            and request.method in ("GET", "HEAD")
        )
        return None if allowed else {}


class _Refusal(RequestHandler):
    """Says no to every method, whatever is asked for."""

    def prepare(self) -> None:
        self.set_status(403)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(_REFUSAL)


class _Sealed(OutputTransform):
    """Adds to every answer what it forbids the page, and other sites' pages, to do."""

    def __init__(self, request: HTTPServerRequest) -> None:
        self._policy = "; ".join(
            (
                "default-src 'none'",
                "script-src 'self' 'unsafe-inline' blob:",
                "style-src 'self' 'unsafe-inline'",
                "img-src 'self' data: blob:",
                "font-src 'self' data:",
                f"connect-src 'self' ws://{request.host}",  # old Safari's 'self' lacks ws:
                "base-uri 'none'",
                "form-action 'none'",
                "frame-ancestors 'none'",
            )
        )

    def transform_first_chunk(
        self, status_code: int, headers: HTTPHeaders, chunk: bytes, finishing: bool
    ) -> tuple[int, HTTPHeaders, bytes]:
        headers["Content-Security-Policy"] = self._policy
        headers["X-Frame-Options"] = "DENY"
        headers["X-Content-Type-Options"] = "nosniff"
        headers["Referrer-Policy"] = "no-referrer"
        headers["Cross-Origin-Opener-Policy"] = "same-origin"
        headers["Cross-Origin-Resource-Policy"] = "same-origin"
        headers["Cache-Control"] = "no-store"  # its address tells the secret
        headers.pop("Server", None)
        return status_code, headers, chunk


class _Owner(IdentityProvider):
    """Takes whoever was let in for the one person there is; a cookie would let others in."""

    def get_user(self, handler: Any) -> User:
        return User("owner")


class _Page(TornadoVoilaHandler):  # type: ignore[misc]
    """The notebook's page."""

    def initialize(self, *, once: _Once, **options: Any) -> None:
        super().initialize(**options)
        self._once = once

    async def get(self, path: str = "") -> None:
        self.set_header("Content-Type", "text/html; charset=utf-8")
        async for part in self._once.parts(self.get_generator()):
            self.write(part)
            await self.flush()


class _Once:
    """A page that is computed once: who loads it again meets the same kernel, as they left it.

    Args:
        kernels: Where the page's kernel is the only one.
    """

    def __init__(self, kernels: Any) -> None:
        self._kernels = kernels
        self._parts: list[str] = []
        self._task: asyncio.Task[None] | None = None
        self._news = asyncio.Condition()

    async def parts(self, made: AsyncIterator[str]) -> AsyncIterator[str]:
        """Give the page as far as it is there, and the rest when it comes.

        Args:
            made: Computes it, in a kernel of its own; not begun if there is a page.
        """
        if self._task is None or (self._task.done() and not await self._is_alive()):
            self._parts = []
            self._task = asyncio.create_task(self._compute(made, self._parts))
        task, parts = self._task, self._parts
        for sent in count():
            async with self._news:
                await self._news.wait_for(partial(_holds, parts, sent))
            if parts[sent] == _END:
                break
            yield parts[sent]
        await task  # which raises what it raised

    async def _compute(self, made: AsyncIterator[str], parts: list[str]) -> None:
        try:
            await self._kernels.shutdown_all(now=True)
            async for part in made:
                await self._add(part or " ", parts)
        finally:
            await self._add(_END, parts)

    async def _add(self, part: str, parts: list[str]) -> None:
        async with self._news:
            parts.append(part)
            self._news.notify_all()

    async def _is_alive(self) -> bool:
        """Tell whether the page, once it is whole, has a notebook that did not stop behind it."""
        if self._task is None or self._task.cancelled() or self._task.exception():
            return False
        if any(_FAILED in part for part in self._parts):
            return False
        kernels = [self._kernels.get_kernel(name) for name in self._kernels.list_kernel_ids()]
        return any([await kernel.is_alive() for kernel in kernels])


def _holds(parts: list[str], number: int) -> bool:
    return len(parts) > number


def _settings(folder: Path) -> Config:
    """Return what Voila and its kernels are told."""
    config = Config()
    config.Voila.config_file_paths = []  # it would run a voila.py of the working directory
    config.Voila.open_browser = False
    config.Voila.connection_dir_root = str(folder)
    config.Voila.log_level = "WARN"
    config.Voila.identity_provider_class = _Owner
    voila = config.VoilaConfiguration
    voila.allow_template_override = voila.allow_theme_override = "NO"
    voila.strip_sources = voila.show_tracebacks = True
    voila.extension_allowlist = _EXTENSIONS
    config.VoilaExecutor.startup_timeout = PATIENCE
    config.MappingKernelManager.cull_idle_timeout = _IDLE
    config.MappingKernelManager.cull_interval = max(1, _IDLE // 10)
    config.KernelManager.autorestart = False  # it would come back without the notebook's objects
    # What a kernel says on a port of this machine, pictures too, everybody on it can hear.
    if takes_sockets(folder / "voila_12345678" / f"kernel-{'0' * 36}"):
        config.KernelManager.transport = "ipc"
    elif zmq.has("curve"):
        config.KernelManager.transport_encryption = "auto"
    return config


def _wait_for_caller(loop: IOLoop) -> None:
    """Stop the loop when standard input ends."""
    while os.read(0, 1024):
        pass
    loop.add_callback(loop.stop)


def main() -> None:
    """Serve what the first line of standard input says."""
    orders = json.loads(sys.stdin.readline())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    Server(Path(orders["notebook"]), secret=orders["secret"], port=orders["port"]).start()


if __name__ == "__main__":
    main()
