// A sheet of tiles as long as the list: only those in sight exist, and only their pictures are asked for.

const GAP = 8; // pixels between tiles
const WORDS = 42; // height of what stands below a picture
const AHEAD = 1; // screens above and below that are filled before they are seen
const AT_ONCE = 36; // pictures asked for in one message
const KEPT = 2000; // pictures that the page remembers
const REST = 40; // milliseconds: what a scroll passes by faster is not asked for

/** Pictures by row, asked for while they are wanted and forgotten when they are many. */
function makePictures(model, arrived) {
  const known = new Map(); // in the order of their last use
  let [asked, waiting, wanted] = [null, 0, []];
  function ask() {
    waiting = 0;
    if (asked) return; // one message at a time: a scroll may have made others more urgent
    const rows = wanted.filter((row) => !known.has(row)).slice(0, AT_ONCE);
    if (!rows.length) return;
    asked = rows;
    model.send({ kind: "pictures", rows });
  }
  return {
    get: (row) => known.get(row),
    /** Say which rows are in sight, the most wanted first. */
    want(rows) {
      wanted = rows;
      for (const row of rows) {
        const url = known.get(row);
        if (url === undefined) continue;
        known.delete(row);
        known.set(row, url);
      }
      if (!waiting) waiting = setTimeout(ask, REST);
    },
    hear(rows, buffers) {
      rows.forEach((row, k) => known.set(row, addressOf(buffers[k])));
      for (const [row, url] of known) {
        if (known.size <= KEPT) break;
        known.delete(row);
        if (url) URL.revokeObjectURL(url);
      }
      asked = null;
      arrived(rows);
      ask();
    },
    close() {
      clearTimeout(waiting);
      for (const url of known.values()) if (url) URL.revokeObjectURL(url);
    },
  };
}

/** The address of a JPEG that came in a message; empty: it could not be read. */
function addressOf(buffer) {
  const bytes = buffer.buffer ? new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength) : buffer;
  return bytes.byteLength ? URL.createObjectURL(new Blob([bytes], { type: "image/jpeg" })) : "";
}

/** The sheet; `fill(tile, row)` writes a tile, `chosen(place)` hears a click or an arrow key. */
function makeSheet(title, size, wide, { make, fill, chosen, seen }) {
  const sheet = html("div", { class: "sheet", role: "presentation" });
  const node = html("div", { class: "scroller", tabindex: "0", role: "listbox", "aria-label": title }, sheet);
  const tiles = new Map(); // by place
  let [rows, here, waiting] = [[], -1, 0];
  const across = () => Math.max(1, Math.floor((node.clientWidth - GAP) / (size * wide + GAP)));
  const tall = size + WORDS + GAP;
  const screens = () => Math.max(1, Math.floor(node.clientHeight / tall));

  function draw() {
    waiting = 0;
    const columns = across();
    sheet.style.height = `${Math.ceil(rows.length / columns) * tall + GAP}px`;
    const [top, bottom] = [node.scrollTop, node.scrollTop + node.clientHeight];
    const reach = AHEAD * node.clientHeight;
    const low = columns * Math.max(0, Math.floor((top - reach) / tall));
    const high = Math.min(rows.length, columns * Math.ceil((bottom + reach) / tall));
    for (const [at, tile] of tiles) {
      if (at >= low && at < high && tile.row === rows[at]) continue;
      tile.node.remove();
      tiles.delete(at);
    }
    const step = Math.floor((node.clientWidth - GAP) / columns);
    for (let at = low; at < high; at += 1) {
      if (!tiles.has(at)) {
        const tile = { ...make(), row: rows[at] };
        tile.node.addEventListener("click", () => { node.focus(); chosen(at); });
        tiles.set(at, tile);
        sheet.append(tile.node);
      }
      const tile = tiles.get(at);
      tile.node.style.transform =
        `translate(${GAP + (at % columns) * step}px, ${GAP + Math.floor(at / columns) * tall}px)`;
      tile.node.id = `${node.id}-${at}`;
      tile.node.setAttribute("aria-selected", String(at === here));
      tile.node.setAttribute("aria-posinset", at + 1);
      tile.node.setAttribute("aria-setsize", rows.length);
      fill(tile, rows[at]);
    }
    if (here >= 0) node.setAttribute("aria-activedescendant", `${node.id}-${here}`);
    else node.removeAttribute("aria-activedescendant");
    const inSight = (at) => Math.floor(at / columns) * tall < bottom && (Math.floor(at / columns) + 1) * tall > top;
    const places = [...tiles.keys()].sort((a, b) => inSight(b) - inSight(a) || a - b);
    seen(places.map((at) => rows[at]));
  }
  const follow = () => { if (!waiting) waiting = requestAnimationFrame(draw); };
  function reveal(at) {
    const line = Math.floor(at / across());
    const [top, bottom] = [line * tall, (line + 1) * tall + GAP];
    if (top < node.scrollTop) node.scrollTop = top;
    else if (bottom > node.scrollTop + node.clientHeight) node.scrollTop = bottom - node.clientHeight;
  }
  node.id = `melnb-sheet-${Math.random().toString(36).slice(2)}`;
  node.addEventListener("scroll", follow, { passive: true });
  node.addEventListener("keydown", (event) => {
    const columns = across();
    const steps = {
      ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns,
      PageDown: columns * screens(), PageUp: -columns * screens(), Home: -Infinity, End: Infinity,
    };
    if (!(event.key in steps) || !rows.length || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    chosen(clamp(Math.max(here, 0) + (here < 0 ? 0 : steps[event.key]), 0, rows.length - 1));
  });
  const watcher = new ResizeObserver(follow);
  watcher.observe(node);
  return {
    node, follow,
    place: (row) => rows.indexOf(row),
    list(next) {
      rows = next;
      node.scrollTop = 0;
      follow();
    },
    mark(at) {
      here = at;
      if (at >= 0) reveal(at);
      follow();
    },
    /** Draw no more: the frame asked for last would show pictures that the page has given back. */
    close() {
      watcher.disconnect();
      cancelAnimationFrame(waiting);
      waiting = Infinity;
    },
  };
}
