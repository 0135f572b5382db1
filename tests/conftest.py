"""A small project whose notebooks do next to nothing, for what runs them."""

import gc
import importlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from PIL import Image

from melnb.evaluation import operating_point
from melnb.params import catalogue
from melnb.running import kernels as launcher
from melnb.runs import store
from melnb.tables import documents, schema

HERE = Path(__file__).parent
WARM = HERE / "warm"  # found by whatever a test starts, as a package is
sys.path.append(str(WARM))
import melnb_starts  # noqa: E402

# A busy machine is no failure: speed is held by benchmarks, never by tests. Each push draws the
# same examples; the nightly tier explores, and what it finds is kept as an `@example`.
settings.register_profile(
    "push",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=True,
    database=None,
    print_blob=True,
)
settings.register_profile(
    "nightly", settings.get_profile("push"), derandomize=False, max_examples=1000
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "push"))

CURRENT = "PYTEST_CURRENT_TEST"
# What the push tier may start, together: a kernel that imports by itself costs 15 CPU seconds, a
# published network up to minutes. Cold are one on each backend, in `test_line.py`, and one with
# which warm kernels are compared.
STARTS = {melnb_starts.KERNEL: 3, melnb_starts.NETWORK: 36}
melnb_starts.count()
# A shell that starts us in the background has Ctrl-C ignored, by all that we start too.
signal.signal(signal.SIGINT, signal.default_int_handler)
# So has `nohup` a closed terminal; a handler of ours is ignored here, and by none that we start.
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)
PATIENCE = 600  # seconds for what a busy machine may take its time for
CHROMIUM = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]
# Threads of OpenMP spin while they wait: two processes of two took ten times as long as of one.
# Snakemake sets all of these for its jobs, and kernels are warm only where all agree.
for library in ("GOTO", "MKL", "NUMEXPR", "OMP", "OPENBLAS"):
    os.environ[f"{library}_NUM_THREADS"] = "1"
os.environ["VECLIB_MAXIMUM_THREADS"] = "1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"  # melnb's; JAX, imported by a test, would set its own
# What takes longest begins, so that all processes end at about the same time.
LONGEST = (
    "test_line.py",
    "test_line_of_masks.py",
    "test_parameter_sets.py",
    "test_lab.py",
    "test_jax.py",
    "test_kills.py",
)


def pytest_configure(config: pytest.Config) -> None:
    """Judge, in the process that begins the tests, what they start; the limits are of a push."""
    if melnb_starts.FILE not in os.environ:
        limits = STARTS if "not nightly" in config.option.markexpr else {}
        config.pluginmanager.register(melnb_starts.Judge(limits))


def pytest_terminal_summary(terminalreporter: "pytest.TerminalReporter") -> None:
    """Print the sums of what tests counted: kills, spoilt files, and what came of them."""
    sums = Counter[str]()
    for report in (r for kind in ("passed", "failed") for r in terminalreporter.getreports(kind)):
        sums.update({name: n for name, n in report.user_properties if report.when == "call"})
    for name, number in sums.items():
        terminalreporter.line(f"{name}: {number:,}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    rank = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.name, len(rank)))


def pytest_collection_finish() -> None:
    """What was imported stays, so no collection of garbage need look through it again."""
    gc.freeze()


@pytest.hookimpl(optionalhook=True)  # pytest-xdist's
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A file's tests run in one process, and share what its fixtures made; or a group's.

    Of a file whose tests take a minute and share nothing, each goes where there is room.
    """
    from xdist.scheduler import LoadGroupScheduling

    class Files(LoadGroupScheduling):
        def _split_scope(self, nodeid: str) -> str:
            scope: str = super()._split_scope(nodeid)
            alone = scope != nodeid or "test_parameter_sets.py" in scope
            return scope if alone else scope.split("::")[0]

    return Files(config, log)


BODY = """
from pathlib import Path
import time
from melnb.params.catalogue import STAGES
from melnb.runs import store
from melnb.running.up_to_date import needed
# ---
p = STAGES[STAGE].from_cell(globals())
run = store.open_run(STAGE, store.run_name(p), parameters=p.plain(), outputs=p.outputs)
# ---
root = store.outputs_root(p.outputs)
read = [run.reads(f.parent) for n in needed(p) for f in root.glob(n + "/run.json")]
# ---
while p.seed == 99 and Path("hold").exists(): time.sleep(0.05)
assert p.seed != 13, "unlucky number"
# ---
words = sorted((folder / "out.txt").read_text() for folder in read)
(run.folder / "out.txt").write_text(f"{STAGE} {p.seed % 10} after {len(words)}")
done = run.finish({"auc": 0.5 + (p.seed % 10) / 100, "read": len(words)})
"""

# What executes a notebook, without kernels: it starts 20 times faster, and counts its starts.
STUB = """
import contextlib
import json
import os
from pathlib import Path

from melnb.running import kernels

def execute(source, executed, parameters, *, cwd, log=None, launch=""):
    os.environ["MELNB_LAUNCH"] = launch
    with open(Path(cwd) / "kernels.log", "a") as log:
        log.write(Path(executed).name + "\\n")
    book = json.loads(Path(source).read_text())
    book["metadata"]["melnb"] = {"launch": launch}
    names = {"In": []}
    try:
        for number, cell in enumerate(book["cells"]):
            if cell["cell_type"] == "code":
                cell["execution_count"] = number
                Path(executed).write_text(json.dumps(book))
                with contextlib.chdir(cwd):
                    exec("".join(cell["source"]), names)
                if "parameters" in cell["metadata"]["tags"]:
                    names |= parameters
                    set_ = (f"{name} = {value!r}" for name, value in parameters.items())
                    names["In"].append("\\n".join(["# Parameters", *set_]))
    except Exception as error:
        cell["outputs"] = [{
            "output_type": "error", "ename": type(error).__name__, "evalue": str(error),
            "traceback": [],
        }]
        raise
    finally:
        names.clear()  # the kernel ends, and its locks with it
        Path(executed).write_text(json.dumps(book))

kernels.execute = execute
"""


DRIVER = """
import sys
from melnb.running.stage import launch
from melnb.running.pipeline import read_pipeline
for job in read_pipeline(sys.argv[1], sys.argv[2:]).jobs:
    launch(job.stage, parameters=job.parameters)
"""
# The demo, on fewer lesions: every stage but the ablation's.
FEW = [
    "rows=100", "n_folds=2", "epochs=1", "03b_find_lr.steps=12", "06b_explain.n_scored=8",
    "06b_explain.n_checked=2", "06b_explain.levels=2", "06e_robustness.strengths=[3]",
    "06e_robustness.corruptions=[gel]",
]  # fmt: skip


def make_notebook(stage: str, body: str = BODY) -> dict[str, Any]:
    """Return a notebook with a stage's parameters cell and a body cut at `# ---`."""
    cls = catalogue.STAGES[stage]
    fields = {name: cls.model_fields[name] for name in cls.cell_fields()}
    defaults = "\n".join(f"{name} = {field.default!r}" for name, field in fields.items())
    cells = [_cell("code", defaults, "parameters"), _cell("markdown", f"# {stage}\n## The work")]
    cells += [_cell("code", code.strip()) for code in f"STAGE = {stage!r}{body}".split("# ---")]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    language = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return {
        "cells": cells,
        "metadata": {"kernelspec": language},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _cell(kind: str, source: str, *tags: str) -> dict[str, Any]:
    cell: dict[str, Any] = {"cell_type": kind, "metadata": {"tags": [*tags]}, "source": source}
    return cell | ({"outputs": [], "execution_count": None} if kind == "code" else {})


@pytest.fixture(scope="session", autouse=True)
def warm() -> Iterator[Path]:
    """Let all kernels, those of child processes too, be forked from one warm parent.

    It yields the folder of the parent's socket and log.
    """
    folder = Path(tempfile.mkdtemp(prefix="melnb-"))  # a socket's path must be short
    if sys.platform == "linux":
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONPATH", str(WARM), prepend=os.pathsep)
            patch.setenv("JUPYTER_DEFAULT_PROVISIONER_NAME", "melnb-warm")
            patch.setenv("MELNB_WARM", str(folder))
            parent = importlib.import_module("melnb_warm_parent").start(folder, os.getpid())
            yield folder
            parent.kill()
            parent.wait()
    else:
        yield folder
    shutil.rmtree(folder)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the root of a project with a tiny notebook for every stage; we stand in it."""
    root = tmp_path / "a {b} c"  # as a careless person names a folder
    (root / "params").mkdir(parents=True)
    (root / "notebooks").mkdir()
    for stage in catalogue.STAGES:
        path = root / "notebooks" / f"{stage}.ipynb"
        path.write_text(json.dumps(make_notebook(stage)), encoding="utf-8")
    monkeypatch.delenv("MELNB_ROOT", raising=False)
    monkeypatch.chdir(root)
    return root


@pytest.fixture(scope="session")
def draw_photos() -> Callable[[Path, int], Path]:
    """Draw photographs `IMG_0.jpg` to `IMG_<n-1>.jpg`, of coloured squares, into a new folder."""

    def drawn(folder: Path, count: int) -> Path:
        folder.mkdir()
        draw = np.random.default_rng(0)
        for k in range(count):
            small = draw.integers(60, 200, (6, 6, 3), dtype=np.uint8)
            Image.fromarray(small).resize((40, 40)).save(folder / f"IMG_{k}.jpg")
        return folder

    return drawn


@pytest.fixture
def rewrite(project: Path) -> Callable[[str, str, str], None]:
    """Return a function that replaces text in a stage's notebook."""

    def replace(stage: str, old: str, new: str) -> None:
        path = project / "notebooks" / f"{stage}.ipynb"
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    return replace


@pytest.fixture
def kernels(project: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Stand in for kernels, here and in child processes; return what lists the runs since."""
    (project / "stub").mkdir()
    (project / "stub" / "sitecustomize.py").write_text(STUB, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(project / "stub"))
    monkeypatch.setattr(launcher, "execute", launcher.execute)  # as before when the test is over
    exec(STUB, {})
    log = project / "kernels.log"

    def started() -> list[str]:
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return sorted(line.removesuffix(".running.ipynb") for line in lines)

    return started


@pytest.fixture(scope="session")
def run_cells() -> Callable[..., dict[str, Any]]:
    """Return a function that runs a notebook's cells in this process, and returns its names."""

    def run(stage: str, **given: Any) -> dict[str, Any]:
        names: dict[str, Any] = {}
        book = json.loads((HERE.parent / "notebooks" / f"{stage}.ipynb").read_text("utf-8"))
        for cell in (cell for cell in book["cells"] if cell["cell_type"] == "code"):
            exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
            if "parameters" in cell["metadata"].get("tags", []):
                names |= given
        return names

    return run


@pytest.fixture(scope="session")
def melnb() -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Run the command in a project: `melnb("run", "03_train", root=root)`."""

    def run(*words: str, root: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "melnb", *words]
        environment = {**os.environ, "MELNB_ROOT": str(root), **environment}
        return subprocess.run(command, env=environment, capture_output=True, text=True, cwd=root)

    return run


@pytest.fixture(scope="session")
def run_jobs() -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Run a pipeline's jobs in a project in one process, one after another, without Snakemake."""

    def run(*words: str, root: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
        environment = {**os.environ, "MELNB_ROOT": str(root), **environment}
        command = [sys.executable, "-c", DRIVER, *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, cwd=root)

    return run


@pytest.fixture(scope="session")
def make_report() -> Callable[[Path], Path]:
    """Make a finished report, `r`, of two files of predictions, both of nobody's pictures."""

    def make(folder: Path) -> Path:
        draw = np.random.default_rng(0)
        truth = draw.random(300) < 0.3
        names = np.where(truth, "melanoma", "other")
        for run in ("one", "two"):
            score = 1 / (1 + np.exp(1 - draw.normal(size=300) - 2 * truth))
            table = schema.make_predictions(
                [f"i{k}" for k in range(300)], np.arange(300) % 3, names,
                np.column_stack([1 - score, score]), classes=("other", "melanoma"), run=run,
            )  # fmt: skip
            schema.write_predictions(table, folder / f"{run}.csv")
        files = [str(folder / "one.csv"), str(folder / "two.csv")]
        values = catalogue.Report(run="r", predictions=files, dataset="").plain()
        run = store.open_run("06_report", "r", parameters=values, outputs=folder / "outputs")
        point = operating_point(table, positive="melanoma", choose="threshold", at=0.4, draws=2)
        schema.write_table(point, run.folder / "operating_point.csv")
        return run.finish({"threshold": 0.4, "prevalence": 0.3})

    return make


@pytest.fixture(scope="session")
def make_project(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Make a project with the real notebooks, for the tests of the xdist group of its name."""

    def make(name: str) -> Path:
        if "PYTEST_XDIST_WORKER" in os.environ and f"@{name} " not in os.environ[CURRENT]:
            pytest.fail(f'one process looks at it: pytestmark = pytest.mark.xdist_group("{name}")')
        root = tmp_path_factory.mktemp(name)
        shutil.copytree(HERE.parent / "notebooks", root / "notebooks")
        return root

    return make


@pytest.fixture(scope="session")
def demo(
    run_jobs: Callable[..., "subprocess.CompletedProcess[str]"],
    make_project: Callable[[str], Path],
) -> Path:
    """A project where every file of the demo has run, on fewer lesions, and the side of masks."""
    root = make_project("demo")
    shutil.copytree(HERE.parent / "params", root / "params")
    for name, few in {"demo": FEW[:3], "demo-external": FEW[:2], "demo-all": FEW}.items():
        done = run_jobs(f"params/{name}.pipeline.yaml", *few, root=root)
        assert done.returncode == 0, done.stdout + done.stderr
    return root


@pytest.fixture(scope="session")
def root(
    melnb: Callable[..., "subprocess.CompletedProcess[str]"],
    make_project: Callable[[str], Path],
) -> Path:
    """A project where the line from images to report has run through Snakemake."""
    root = make_project("line")
    shutil.copytree(HERE / "line", root / "params")
    done = melnb("pipeline", "params/line.pipeline.yaml", root=root)
    assert done.returncode == 0, done.stdout + done.stderr
    return root


@pytest.fixture(scope="session")
def check_whole() -> Callable[[Path], set[str]]:
    """Check that every run below a folder is whole, and return their stages."""

    def check(outputs: Path) -> set[str]:
        assert not list(outputs.rglob("*.partial"))
        for path in outputs.rglob("run.json"):
            record = documents.read_run(path.parent)
            assert (path.parent / "notebook.ipynb").is_file()
            assert {"parameters", "inputs", "results", "versions", "device"} <= set(record)
            assert all((path.parent / file["path"]).exists() for file in record["files"])
        return {path.relative_to(outputs).parts[0] for path in outputs.rglob("run.json")}

    return check


@pytest.fixture(scope="session")
def check_clean() -> Callable[[Path], None]:
    """Check that no executed notebook below a folder holds an error, a warning or a raw table."""

    def check(outputs: Path) -> None:
        for path in outputs.rglob("notebook.ipynb"):
            outs = [o for c in json.loads(path.read_text())["cells"] for o in c.get("outputs", [])]
            assert outs, path
            errors = [o for o in outs if o["output_type"] == "error"]
            told = [o["text"] for o in outs if o.get("name") == "stderr"]
            assert errors == []
            assert not [text for text in told if "Warning" in "".join(text)], (path, told)
            pages = ["".join(o.get("data", {}).get("text/html", "")) for o in outs]
            assert not [page for page in pages if '<table border="1"' in page], path

    return check


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Headless Chromium, named by CHROMIUM or found at its usual place."""
    chromium = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
    if not chromium.exists():
        pytest.skip(f"no browser at {chromium}: set CHROMIUM to one")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=str(chromium), args=CHROMIUM, timeout=1000 * PATIENCE
        )
        yield _Patient(launched)
        launched.close()


class _Patient:
    """A browser whose pages wait as long as a busy machine takes."""

    def __init__(self, browser: Any) -> None:
        self._browser = browser

    def new_context(self, **options: Any) -> Any:
        return self._waits(self._browser.new_context(**options))

    def new_page(self, **options: Any) -> Any:
        return self._waits(self._browser.new_page(**options))

    def _waits(self, made: Any) -> Any:
        made.set_default_timeout(1000 * PATIENCE)
        return made


@pytest.fixture(scope="module")
def serve_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """Start JupyterLab on a folder, with variables for its kernels; it stops after the module."""
    home = tmp_path_factory.mktemp("lab")
    servers: list[subprocess.Popen[bytes]] = []

    def serve(folder: Path, **environment: str) -> str:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [
            sys.executable,
            *("-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}"),
            *("--IdentityProvider.token=", "--LabApp.expose_app_in_browser=True"),
            *("--LabApp.news_url=", f"--ServerApp.root_dir={folder}"),
            "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
            f"--MappingKernelManager.kernel_info_timeout={PATIENCE}",
        ]
        own = ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR")
        variables = {**os.environ, **{name: str(home / name) for name in own}, **environment}
        log = home / f"{len(servers)}.log"
        with log.open("wb") as file:
            server = subprocess.Popen(
                command, cwd=folder, env=variables, stdout=file, stderr=subprocess.STDOUT
            )
        servers.append(server)
        # Another may have taken the port meanwhile; then the server has taken the next.
        told = home / "JUPYTER_RUNTIME_DIR" / f"jpserver-{server.pid}.json"
        return wait_for(told, server, log)

    yield serve
    for server in servers:
        server.terminate()
        server.wait(PATIENCE)


def wait_for(told: Path, server: "subprocess.Popen[bytes]", log: Path) -> str:
    """Return a server's address, from the file that it writes, once it answers."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and server.poll() is None:
        try:
            address = f"http://127.0.0.1:{json.loads(told.read_text())['port']}"
            urllib.request.urlopen(f"{address}/api", timeout=PATIENCE).close()
            return address
        except (OSError, ValueError):  # not there yet, half written, or deaf
            time.sleep(0.3)
    pytest.fail(f"JupyterLab did not start: {log.read_text()[-2000:]}")
