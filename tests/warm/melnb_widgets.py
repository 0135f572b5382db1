"""A widget's page whose kernel is this process: what Chromium shows of it without JupyterLab."""

import base64
import json
from pathlib import Path
from typing import Any

from melnb.display.browser.image_browser import MODULE, STYLE, ImageBrowser

SYNCED = ("words", "wanted", "order", "image_id", "listing", "marks", "note")

# A model as anywidget gives it: values both ways, and messages with bytes. `ask` is the kernel.
PAGE = """<!doctype html><meta charset="utf-8"><style>%s</style><div id="here"></div>
<script type="module">%s
const hearers = {};
const bytes = (text) =>
  new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
const values = {};
const take = (changed) => {
  for (const [name, value] of Object.entries(changed)) {
    values[name] = name === "listing" ? bytes(value) : value;
    (hearers[`change:${name}`] ?? []).forEach((hear) => hear());
  }
};
const tell = async (what) => {
  const answer = await window.ask(what);
  take(answer.values);
  for (const [content, buffers] of answer.messages) {
    (hearers["msg:custom"] ?? []).forEach((hear) => hear(content, buffers.map(bytes)));
  }
};
let changed = {};
const model = {
  get: (name) => values[name],
  set: (name, value) => { values[name] = value; changed[name] = value; },
  save_changes: () => { const told = changed; changed = {}; tell({ values: told }); },
  send: (content) => tell({ content }),
  on: (name, hear) => { (hearers[name] ??= []).push(hear); },
  off: (name, hear) => { hearers[name] = (hearers[name] ?? []).filter((h) => h !== hear); },
};
window.refresh = async () => take((await window.ask({})).values);
await window.refresh();
window.close_browser = render({ model, el: document.getElementById("here") });
document.documentElement.dataset.ready = "";
</script>"""


def open_browser(page: Any, browser: ImageBrowser, file: Path) -> list[dict[str, Any]]:
    """Show an image browser in a page of Playwright; return what the page asks for, as it does.

    Args:
        page: New.
        browser: Answers it.
        file: The page is written there.
    """
    view = browser.view()
    sent: list[Any] = []
    view.send = lambda content, buffers: sent.append((content, buffers))
    asked: list[dict[str, Any]] = []

    def ask(what: dict[str, Any]) -> dict[str, Any]:
        before = {name: getattr(view, name) for name in SYNCED}
        for name, value in what.get("values", {}).items():
            setattr(view, name, value)
        if "content" in what:
            asked.append(what["content"])
            browser._answer(view, json.loads(json.dumps(what["content"])))
        after = {name: getattr(view, name) for name in SYNCED}
        new = {n: v for n, v in after.items() if not what or v != before[n]}
        if "listing" in new:
            new["listing"] = base64.b64encode(new["listing"]).decode()
        messages = [[c, [base64.b64encode(b).decode() for b in bs]] for c, bs in sent]
        sent.clear()
        return {"values": new, "messages": messages}

    page.expose_function("ask", ask)
    file.write_text(PAGE % (STYLE, MODULE), encoding="utf-8")
    page.goto(file.as_uri())
    page.wait_for_selector("html[data-ready]", state="attached")
    return asked
