"""The explorer's page as strangers meet it, and as the one person does who knows its address."""

import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from melnb_pages import Reader

from melnb.running import voila

HERE = Path(__file__).parents[2]
PATIENCE = 600
POLICY = {
    "X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer", "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}  # fmt: skip
UPGRADE = {
    "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}  # fmt: skip
KERNEL = "api/kernels/00000000-0000-0000-0000-000000000000"
# Asks the kernel to run code, then what it may be asked; the answer comes when both were heard.
SPEAK = """([address, code]) => new Promise((resolve) => {
  const socket = new WebSocket(address);
  const say = (kind, content) => socket.send(JSON.stringify({
    channel: "shell", content, metadata: {}, parent_header: {}, buffers: [],
    header: { msg_id: kind, msg_type: kind, session: "s", username: "", version: "5.3" } }));
  socket.onmessage = ({ data }) => {
    if (typeof data === "string" && JSON.parse(data).msg_type === "kernel_info_reply"
      && JSON.parse(data).parent_header.msg_id === "kernel_info_request") resolve(true);
  };
  socket.onopen = () => {
    say("execute_request", { code, silent: false });
    say("kernel_info_request", {});
  };
})"""


@dataclass
class Page:
    """A page that is served."""

    process: subprocess.Popen[str]  # of the command
    server: psutil.Process
    address: str
    folder: Path  # of the server's files
    report: Path

    @property
    def port(self) -> int:
        return int(self.address.split(":")[2].split("/")[0])

    @property
    def secret(self) -> str:
        return self.address.split("/")[3]

    def kernels(self) -> list[psutil.Process]:
        """Return the processes that listen on sockets in the folder."""
        return [p for p in psutil.process_iter() if any(self._sockets(p))]

    def _sockets(self, process: psutil.Process) -> Iterator[bool]:
        try:
            for each in process.net_connections("unix"):
                yield str(each.laddr).startswith(f"{self.folder}/")
        except psutil.Error:
            return

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, Any, bytes]:
        """Return status, headers and body; a header of no text is not sent."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        sent = {"Host": f"127.0.0.1:{self.port}"}
        sent |= {name.replace("_", "-"): text for name, text in headers.items()}
        for name, text in sent.items():
            if text:
                connection.putheader(name, text)
        connection.endheaders()
        answer = connection.getresponse()
        body = answer.read() if answer.status != 101 else b""
        connection.close()
        return answer.status, answer.headers, body


def serve(report: Path) -> Page:
    command = [sys.executable, "-u", "-m", "melnb", "explore", str(report), "--no-browser"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=HERE)
    assert process.stdout is not None
    with process.stdout as said:
        address = said.readline().split()[1]
    (server,) = psutil.Process(process.pid).children()
    (log,) = {Path(file.path) for file in server.open_files() if file.path.endswith(".log")}
    return Page(process, server, address, log.parent, report)


@pytest.fixture(scope="module")
def page(
    make_report: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Page]:
    """One page for all that look at it; the last of them ends it."""
    served = serve(make_report(tmp_path_factory.mktemp("served")))
    yield served
    served.process.kill()
    served.process.wait()


pytestmark = pytest.mark.xdist_group("browser")


def strangers(page: Page) -> Iterator[tuple[str, tuple[int, Any, bytes]]]:
    """Ask for the page in every way that is not its person's."""
    secret, home = page.secret, f"/{page.secret}/"
    for path in (
        "/", "/x/", f"/{secret[:-1]}/", f"/{secret}x/", f"/{secret.swapcase()}/",
        f"/?token={secret}", f"/x/{secret}/", f"//{secret}/", f"/{KERNEL}",
        f"/{KERNEL}/channels", "/api/contents", "/voila/static/voila.js", "/voila/files/x",
    ):  # fmt: skip
        yield path, page.ask(path)
    for host in ("", "evil.example", f"evil.example:{page.port}", "127.0.0.1", "127.0.0.1:1",
                 f"0.0.0.0:{page.port}", f"127.0.0.1:{page.port}.evil.example"):  # fmt: skip
        yield f"Host {host}", page.ask(home, Host=host)
        yield f"Host {host}, a socket", page.ask(f"{home}{KERNEL}/channels", Host=host, **UPGRADE)
    for origin in ("null", "http://evil.example", "http://127.0.0.1:1", "http://127.0.0.1",
                   f"https://127.0.0.1:{page.port}"):  # fmt: skip
        yield f"Origin {origin}", page.ask(home, Origin=origin)
        channels = f"{home}{KERNEL}/channels"
        yield f"Origin {origin}, a socket", page.ask(channels, Origin=origin, **UPGRADE)
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        for path in (home, f"{home}api/kernels", f"{home}{KERNEL}"):
            yield f"{method} {path}", page.ask(path, method)


def test_a_stranger_is_told_nothing_and_starts_no_kernel(page: Page) -> None:
    for what, (status, headers, body) in strangers(page):
        assert status in (400, 403, 405), what
        if status == 403:
            assert body.startswith(b"Not for you: open the whole address"), what
            assert page.secret not in f"{headers}{body!r}"
            assert {name: headers[name] for name in POLICY} == POLICY
    assert not page.kernels()
    assert not list(page.folder.glob("voila_*/*"))


def test_with_the_key_no_file_and_no_other_service_is_there(page: Page) -> None:
    up, quoted = "../" * 12, "%2e%2e%2f" * 12
    for path in (
        *(f"{room}{way}etc/passwd" for way in (up, quoted, "/", "//")
          for room in ("", "voila/files/", "voila/static/", "voila/templates/lab/static/",
                       "voila/templates/", "voila/labextensions/", "voila/api/themes/")),
        "voila/templates/../static/x", "voila/templates/x", "06c_choose.ipynb", "port",
        "voila/files/06c_choose.ipynb", "voila/files/06c_choose.log", "voila/tree",
        "voila/render/x", "voila/api/contents", "voila/api/shutdown/x", "api",
        "api/contents", "api/kernels",
        "api/kernelspecs", "api/sessions", "api/status", "api/terminals", "terminals/1",
        "terminals/websocket/1", "login", "logout", "files/x", "static/x", KERNEL,
        f"{KERNEL}/channels", f"{KERNEL}/restart",
    ):  # fmt: skip
        for headers in ({}, UPGRADE):
            status, _, body = page.ask(f"/{page.secret}/{path}", **headers)
            assert status in (400, 403, 404, 500), path
            assert b"root:" not in body, path
            assert b"cells" not in body, path
            assert Reader(body.decode(errors="replace")).named == [], path
    assert not page.kernels()


def test_the_key_stands_where_others_cannot_read(page: Page) -> None:
    for process in (psutil.Process(page.process.pid), page.server):
        assert page.secret not in " ".join(process.cmdline())
    assert page.secret not in str(page.server.environ())
    assert page.folder.stat().st_mode & 0o077 == 0
    assert listening(page.server) == [("127.0.0.1", page.port)]


@pytest.mark.browser
def test_the_page_works_alone_and_writes_after_a_yes(browser: Any, page: Page) -> None:
    context = browser.new_context(viewport={"width": 1300, "height": 1000})
    wrong: list[str] = []
    shown = [context.new_page() for _ in range(2)]
    for tab in shown:
        tab.on("request", lambda r: wrong.append(r.url) if not _own(page, r.url) else None)
        tab.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.goto(page.address)
    first, second = shown
    for tab in shown:
        tab.wait_for_selector(".melnb-threshold")
    assert first.locator("pre, .dataframe").count() == 0, "neither code nor other outputs"
    assert len(page.kernels()) == 1, "a kernel a person, not a tab"
    told = ".confusion td b, .facts dd, .pair td.difference"
    before = first.locator(told).all_text_contents()
    first.get_by_label("Threshold", exact=True).focus()
    for _ in range(50):
        first.keyboard.press("ArrowRight")
    after = first.locator(told).all_text_contents()
    assert sum(a != b for a, b in zip(after, before, strict=True)) > 12
    typed = first.get_by_label("Threshold, typed").input_value()
    second.wait_for_function(
        "told => document.querySelector('input[type=number]').value === told", arg=typed
    )
    check_saving(page, first, float(typed))
    check_kernel(page, first)
    assert wrong == []
    assert context.cookies() == []
    first.reload()
    first.wait_for_selector(".melnb-threshold")
    assert first.get_by_label("Threshold, typed").input_value() == typed, "as it was left"
    assert len(page.kernels()) == 1
    context.close()


def _own(page: Page, url: str) -> bool:
    return url.startswith((page.address, "blob:", "data:"))


def check_saving(page: Page, tab: Any, threshold: float) -> None:
    """Press the button, say no, then yes."""
    folder = page.report.parents[1] / "06c_choose" / "r"
    file, record = folder / "operating_point.json", folder / "run.json"
    save = tab.get_by_role("button", name="Write this operating point")
    save.click()
    tab.wait_for_selector(".saving:has-text('holds the threshold 0.4 of one')")
    tab.get_by_role("button", name="No, keep it").click()
    assert json.loads(file.read_text())["threshold"] == 0.4
    save.click()
    tab.get_by_role("button", name="Yes, replace it").click()
    tab.wait_for_selector(".saving:has-text('Written to')")
    assert json.loads(file.read_text())["threshold"] == pytest.approx(threshold)
    assert json.loads(record.read_text())["results"]["threshold"] == pytest.approx(threshold)


def check_kernel(page: Page, tab: Any) -> None:
    """Ask the page's kernel to run code, and look where it says what it says."""
    file = page.report.parents[2] / "written.txt"
    config = json.loads(tab.locator("#jupyter-config-data").text_content())
    socket_ = f"{page.address.replace('http', 'ws')}api/kernels/{config['kernelId']}/channels"
    assert tab.evaluate(SPEAK, [socket_, f"open({str(file)!r}, 'w')"])
    assert not file.exists()
    (file,) = page.folder.glob("voila_*/kernel-*.json")
    assert json.loads(file.read_text())["transport"] == "ipc", "a port could be heard by all"


def listening(process: psutil.Process) -> list[tuple[str, int]]:
    """Return where a process can be reached by other users."""
    ends = process.net_connections("tcp")
    return [(e.laddr.ip, e.laddr.port) for e in ends if e.status == psutil.CONN_LISTEN]


def test_killed_it_leaves_nothing(page: Page) -> None:
    check_end(page, signal.SIGKILL)


def check_end(page: Page, number: int, *, server: bool = False) -> None:
    """Open the page, kill the command or its server, and look for what is left."""
    status, headers, body = page.ask(f"/{page.secret}/")
    assert (status, b"melnb" in body) == (200, True)
    assert Reader(body.decode()).named == [], "the page names no other host"
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "http://" not in policy.replace("ws://", "")
    processes = [*page.kernels(), page.server]
    assert len(processes) == 2
    os.kill(page.server.pid if server else page.process.pid, number)
    code = page.process.wait(PATIENCE)
    assert not psutil.wait_procs(processes, PATIENCE)[1]
    wait_until(lambda: not page.folder.exists())
    assert code == (1 if server else -number if number == signal.SIGKILL else 0)


@pytest.mark.nightly
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_however_it_ends_it_leaves_nothing(
    number: int, make_report: Callable[[Path], Path], tmp_path: Path
) -> None:
    check_end(serve(make_report(tmp_path)), number)


@pytest.mark.nightly
def test_a_killed_server_takes_its_kernel_along(
    make_report: Callable[[Path], Path], tmp_path: Path
) -> None:
    check_end(serve(make_report(tmp_path)), signal.SIGKILL, server=True)


IDLE = "from melnb.running import voila_server as v; v._IDLE = 30; v.main()"


@pytest.mark.nightly
def test_a_kernel_without_a_page_ends_and_a_page_that_failed_is_computed_again(
    make_report: Callable[[Path], Path], tmp_path: Path
) -> None:
    report, folder = make_report(tmp_path), Path(tempfile.mkdtemp(prefix="melnb-"))
    notebook = voila.write_notebook(report, folder / voila.NOTEBOOK)
    process = subprocess.Popen([sys.executable, "-c", IDLE], stdin=subprocess.PIPE, text=True)
    assert process.stdin is not None
    told = {"notebook": str(notebook), "secret": "s", "port": 0}
    process.stdin.write(json.dumps(told) + "\n")
    process.stdin.flush()
    wait_until((folder / voila.PORT_FILE).is_file)
    port = (folder / voila.PORT_FILE).read_text()
    page = Page(process, psutil.Process(process.pid), f"http://127.0.0.1:{port}/s/", folder, report)
    table = (tmp_path / "one.csv").rename(tmp_path / "away")
    assert b"FileNotFoundError" in page.ask("/s/")[2]
    table.rename(tmp_path / "one.csv")
    for _ in range(2):
        assert b"widget-view" in page.ask("/s/")[2]
        assert page.kernels()
        wait_until(lambda: not list(folder.glob("voila_*/kernel-*.json")))
        assert not page.kernels()
    with process.stdin:
        pass  # as the end of the caller does
    assert process.wait(PATIENCE) == 0
    assert not folder.exists()


def wait_until(happens: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not happens():
        assert time.monotonic() < end
        time.sleep(0.1)
