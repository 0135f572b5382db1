// The worst errors at this threshold, with their pictures: two lists that it only cuts off.

const SHOWN = 6;

/** A row of the worst missed images or false alarms; `chosen(facts, node)` hears a click. */
function makeStrip(title, list, wrong, chosen) {
  const total = html("span");
  const more = html("button", { type: "button" });
  const heading = html("h4", {}, total, more);
  const holder = html("div", { class: "strip", role: "group", "aria-label": title });
  const pictured = list.some(({ picture }) => picture);
  holder.classList.toggle("plain", !pictured);
  const tiles = list.map(({ facts, score, picture }) => {
    const shown = pictured
      ? [picture ? html("img", { alt: "", src: picture }) : html("span", { class: "blank" }, "no picture")]
      : [];
    const tile = html("button", { type: "button", class: "tile", tabindex: "-1" }, ...shown,
      html("span", { class: "id" }, facts[0][1]), html("span", { class: "score" }, short(score)));
    tile.addEventListener("click", () => chosen(facts, tile, picture));
    return tile;
  });
  // One stop of the Tab key; arrows go from picture to picture.
  holder.addEventListener("keydown", (event) => {
    const here = [...holder.children].indexOf(document.activeElement);
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const next = step && here >= 0 && holder.children[here + step];
    if (!next) return;
    event.preventDefault();
    reach(next);
    next.focus();
  });
  function reach(tile) {
    for (const other of holder.children) other.tabIndex = other === tile ? 0 : -1;
  }
  let [all, cutOff, last] = [false, 0, -1];
  more.addEventListener("click", () => {
    all = !all;
    holder.classList.toggle("all", all);
    fill();
  });
  function fill() {
    const count = Math.min(all ? list.length : SHOWN, cutOff);
    more.hidden = cutOff <= SHOWN;
    more.textContent = all ? "fewer" : `worst ${cutOff}`;
    more.setAttribute("aria-label", `${title}: ${more.textContent}`);
    if (count === last) return; // the same pictures as before
    last = count;
    holder.replaceChildren(...tiles.slice(0, count));
    if (count) reach(holder.firstChild);
    else holder.append(html("p", { class: "sentence" }, "None at this threshold."));
  }
  return {
    node: html("div", {}, heading, holder),
    show(cut, number) {
      total.textContent = `${title}: ${whole(number)}`;
      cutOff = first(list.length, (k) => !wrong(list[k].score, cut));
      fill();
    },
  };
}

/** Both strips, and the facts of the image that was clicked. */
function makeErrors({ missed, alarms }, chosen) {
  const facts = html("dl", { class: "about" });
  const seen = html("div", { class: "chosen", role: "status" });
  const hint = html("p", { class: "sentence" }, "Choose one to see what is known of it.");
  seen.append(hint);
  function show(told, picture) {
    const written = (value) => (Number.isInteger(value) || typeof value === "string"
      ? String(value) : short(value));
    const lines = told.map(([name, value]) =>
      html("div", {}, html("dt", {}, name.replaceAll("_", " ")), html("dd", {}, written(value))));
    facts.replaceChildren(...lines);
    seen.replaceChildren(...(picture ? [html("img", { alt: "", src: picture })] : []), facts);
  }
  let pressed = null;
  const choose = (told, tile, picture) => {
    pressed?.removeAttribute("aria-pressed");
    tile.setAttribute("aria-pressed", "true");
    pressed = tile;
    show(told, picture);
    chosen(Object.fromEntries(told));
  };
  const [low, high] = [
    makeStrip("Missed, lowest scores", missed, (score, cut) => score < cut, choose),
    makeStrip("False alarms, highest scores", alarms, (score, cut) => score >= cut, choose),
  ];
  return {
    node: html("div", { class: "errors" }, html("figcaption", {}, "Worst errors"),
      html("div", { class: "strips" }, low.node, high.node), seen),
    show(cut, { fn, fp }) {
      low.show(cut, fn);
      high.show(cut, fp);
    },
  };
}
