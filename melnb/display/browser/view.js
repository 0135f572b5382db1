// The image browser's view: joins menus, the sheet and what is known of one image to the model.

const SIGNS = {
  label_wrong: "≠", bad_picture: "✕", keep: "✓",
  "same picture": "=", "same lesion": "≈", "look-alike": "✕",
};

/** A menu of a column's levels; `heard(value)` hears the choice, empty for any. */
function makeMenu({ title, options }, heard) {
  const entries = options.map(([value, text]) => html("option", { value }, text));
  const menu = html("select", { "aria-label": title }, ...entries);
  menu.addEventListener("change", () => heard(menu.value));
  return { node: html("label", {}, html("span", {}, title), menu), menu };
}

/** The ends of a range of ages; empty: no end. */
function makeAges(heard) {
  const end = (name) => html("input", { type: "number", min: 0, max: 120, "aria-label": name, placeholder: "any" });
  const ends = [end("Youngest age"), end("Oldest age")];
  const hear = () => {
    const [low, high] = ends.map(({ value }) => value);
    heard(low === "" && high === "" ? "" : [Number(low || 0), Number(high || 200)]);
  };
  for (const input of ends) input.addEventListener("change", hear);
  return { node: html("label", {}, html("span", {}, "age"), ends[0], html("span", {}, "to"), ends[1]) };
}

/** A tile: picture, class, score and mark. */
function makeTile(size, wide) {
  const picture = html("img", { alt: "", width: size * wide, height: size });
  const [sign, dot, name, score] = [html("b"), html("i"), html("span", { class: "id" }), html("span", { class: "score" })];
  const node = html("div", { class: "tile", role: "option" }, picture, sign,
    html("span", { class: "line" }, dot, name), score);
  node.style.width = `${size * wide}px`;
  return { node, picture, sign, dot, name, score };
}

/** One image: large, with its facts, the lesion's other pictures and the nearest ones. */
function makeDetail(words, chosen, mark) {
  const [picture, facts] = [html("img", { alt: "", class: "large" }), html("dl")];
  const [others, nearest] = [html("div", { class: "row" }), html("div", { class: "row" })];
  const why = html("input", { type: "text", placeholder: "why (kept with the mark)", "aria-label": "Why" });
  const buttons = words.marks.map(({ name, title, key }) => {
    const button = html("button", { type: "button", "data-mark": name }, html("kbd", {}, key), title);
    button.addEventListener("click", () => mark(name, why.value));
    return button;
  });
  const hint = html("p", {}, `Choose one of the ${words.title.toLowerCase()} by a click or the arrow keys.`);
  const node = html("aside", { "aria-label": "What is known of the chosen one", "aria-live": "polite" }, hint);
  const small = (entry) => {
    const button = html("button", { type: "button", title: entry.words },
      entry.url ? html("img", { alt: "", src: entry.url }) : html("span", {}, "no picture"),
      html("span", {}, entry.short));
    button.addEventListener("click", () => chosen(entry.row));
    return button;
  };
  let urls = [];
  return {
    node, why,
    show(message, buffers) {
      for (const url of urls) if (url) URL.revokeObjectURL(url);
      urls = buffers.map(addressOf);
      picture.src = urls[0];
      picture.hidden = !urls[0];
      facts.replaceChildren(...message.facts.flatMap(([name, value]) =>
        [html("dt", {}, name.replaceAll("_", " ")), html("dd", {}, value)]));
      let next = 1;
      const row = (entries) => entries.map((entry) => small({ ...entry, url: urls[next++] }));
      others.replaceChildren(...row(message.others));
      nearest.replaceChildren(...row(message.nearest));
      const part = (title, holder) => (holder.children.length ? [html("h4", {}, title), holder] : []);
      node.replaceChildren(picture, ...(urls[0] ? [] : [html("p", {}, "The picture cannot be read.")]),
        ...(words.writes ? [html("div", { class: "marks" }, ...buttons), why] : []), facts,
        ...part(message.others_title, others), ...part("Most alike", nearest));
    },
    /** Press the button of the image's mark. */
    press: (name) => buttons.forEach((button) =>
      button.setAttribute("aria-pressed", String(button.dataset.mark === name))),
  };
}

function render({ model, el }) {
  const words = model.get("words");
  const counts = html("p", { role: "status" });
  const note = html("p", { class: "note", role: "status" });
  const want = (column) => (value) => {
    const wanted = { ...model.get("wanted") };
    if (value === "") delete wanted[column];
    else wanted[column] = value;
    model.set("wanted", wanted);
    model.save_changes();
  };
  const menus = words.menus.map((menu) => [menu.column, makeMenu(menu, want(menu.column))]);
  const order = makeMenu({ title: "sorted by", options: words.orders }, (value) => {
    model.set("order", value);
    model.save_changes();
  });
  const controls = [...menus.map(([, menu]) => menu.node), ...(words.ages ? [makeAges(want("age")).node] : []), order.node];
  const pictures = makePictures(model, () => sheet.follow());
  const sheet = makeSheet(words.title, words.size, words.wide, {
    make: () => makeTile(words.size, words.wide),
    fill(tile, row) {
      const [url, mark] = [pictures.get(row), model.get("marks")[words.ids[row]] ?? ""];
      if (url && tile.picture.src !== url) tile.picture.src = url;
      tile.node.classList.toggle("blank", url === "");
      tile.node.classList.toggle("waits", url === undefined);
      tile.node.setAttribute("aria-label", `${words.ids[row]}, ${words.classes[words.of[row]]} ${words.scores[row]} ${words.titles[mark] ?? ""}`);
      tile.node.title = words.ids[row];
      tile.name.textContent = words.classes[words.of[row]];
      const name = words.classes[words.of[row]];
      tile.dot.className = name === words.positive ? "positive" : name === "unknown" ? "unknown" : "";
      tile.score.textContent = words.scores[row] || words.ids[row];
      tile.sign.textContent = SIGNS[mark] ?? "";
      tile.sign.className = mark;
    },
    chosen: (place) => choose(rows[place]),
    seen: (near) => pictures.want(near),
  });
  let [rows, row, pause] = [[], -1, 0];
  const detail = makeDetail(words, choose, (name) => mark(name));
  const marked = (name) => model.get("marks")[words.ids[row]] === name;
  function mark(name) {
    if (row < 0 || !words.writes) return;
    model.send({ kind: "mark", row, mark: marked(name) ? "" : name, why: detail.why.value });
  }
  function choose(next) {
    if (next === undefined || next === row) return;
    row = next;
    detail.why.value = ""; // the words were of the image before
    sheet.mark(sheet.place(row));
    clearTimeout(pause); // a held arrow key passes by many
    pause = setTimeout(() => {
      model.set("image_id", words.ids[row]);
      model.save_changes();
      model.send({ kind: "open", row });
    }, 60);
  }
  function list() {
    const view = model.get("listing");
    rows = [...new Uint32Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength))];
    counts.textContent = `${whole(rows.length)} of ${whole(words.ids.length)} ${words.title.toLowerCase()}`;
    sheet.list(rows);
    sheet.mark(sheet.place(row));
  }
  function follow() {
    for (const [column, menu] of menus) {
      const value = model.get("wanted")[column] ?? "";
      menu.menu.value = value;
    }
    order.menu.value = model.get("order");
    note.textContent = model.get("note");
    detail.press(model.get("marks")[words.ids[row]] ?? "");
    sheet.follow();
  }
  const hear = (message, buffers) => {
    if (message.kind === "pictures") pictures.hear(message.rows, buffers);
    else if (message.kind === "opened" && message.row === row) {
      detail.show(message, buffers);
      follow();
    }
  };
  const keys = words.marks.map(({ title, key }) => `${key} ${title}`).join(", ");
  const help = words.writes ? `Arrows move; ${keys}; the same key again takes it back.` : "Arrows move.";
  const root = html("section", { class: `melnb-threshold melnb-browser ${words.wide > 1 ? "wide" : ""}`, "aria-label": words.title },
    html("header", {}, html("h3", {}, words.title), counts),
    html("div", { class: "filters" }, ...controls),
    html("div", { class: "body" }, sheet.node, detail.node),
    html("p", { class: "help" }, help), note);
  // JupyterLab would take arrow keys and letters for its own commands.
  root.addEventListener("keydown", (event) => {
    event.stopPropagation();
    const typed = ["INPUT", "SELECT"].includes(event.target.tagName);
    const own = words.marks.find(({ key }) => key === event.key);
    if (!typed && own && !event.ctrlKey && !event.metaKey && !event.altKey) mark(own.name);
  });
  const names = ["wanted", "order", "marks", "note"];
  for (const name of names) model.on(`change:${name}`, follow);
  model.on("change:listing", list);
  model.on("msg:custom", hear);
  el.append(root);
  list();
  follow();
  return () => {
    clearTimeout(pause);
    sheet.close();
    pictures.close();
    for (const name of names) model.off(`change:${name}`, follow);
    model.off("change:listing", list);
    model.off("msg:custom", hear);
  };
}

export default { render };
