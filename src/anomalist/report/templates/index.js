"use strict";
// The page: filters, cards and their keys.
(() => {
  const found = window.anomalistRows, marks = window.anomalistMarks;
  if (!found) return;
  const PAGE = 60, MOST_BARS = 40;
  const { about } = found;
  const byId = (id) => document.getElementById(id);
  const element = (tag, properties = {}, ...children) => {
    const { data, aria, ...plain } = properties, made = Object.assign(document.createElement(tag), plain);
    for (const [name, value] of Object.entries(data ?? {})) made.dataset[name] = value;
    for (const [name, value] of Object.entries(aria ?? {})) made.setAttribute(`aria-${name}`, value);
    made.append(...children.filter((child) => child !== null && child !== undefined));
    return made;
  };
  const words = { anomalous: "anomalous", unsure: "unsure", normal: "normal", undecided: "no threshold", failed: "not scored" };
  const outcomeWords = { hit: ["✓ hit", "right"], miss: ["✗ missed", "wrong"], "false alarm": ["✗ false alarm", "wrong"], pass: ["✓ correct pass", "right"] };
  const plural = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

  // What is wanted, as the address of the page remembers it

  const control = Object.fromEntries(["search", "kind", "marked", "sort", "blend", "lines", "size"].map((id) => [id, byId(id)]));
  const list = byId("images"), form = byId("filters");
  let page = 0, matching = [], opened = null;
  const fill = (id, names, label) => {
    const counts = found.counted(id === "states" ? "state" : "outcome"), place = byId(id), off = new Set(unwanted(id));
    place.querySelectorAll("label").forEach((old) => old.remove());
    const there = names.filter((name) => counts.get(name));
    if (there.length < 2 && id === "outcomes") return;
    for (const name of there) {
      place.append(element("label", {}, element("input", { type: "checkbox", value: name, checked: !off.has(name), name: id }), " ",
        element("span", {}, label(name), " ", element("small", { textContent: counts.get(name).toLocaleString("en") }))));
    }
  };
  const boxes = (id) => [...byId(id).querySelectorAll("input")];
  const unwanted = (id) => boxes(id).filter((box) => !box.checked).map((box) => box.value);
  const wanted = (id, all) => { const off = new Set(unwanted(id)); return new Set(all.filter((name) => !off.has(name))); };
  const fillKinds = () => {
    const kinds = [...new Set(found.all().map((row) => row.kind).filter(Boolean))].sort(), before = control.kind.value;
    byId("kind-label").hidden = !kinds.length;
    control.kind.replaceChildren(new Option("all", ""), ...kinds.map((kind) => new Option(kind, kind)));
    control.kind.value = kinds.includes(before) ? before : "";
  };
  const remember = () => {
    const told = new URLSearchParams();
    for (const id of ["search", "kind", "marked"]) if (control[id].value) told.set(id, control[id].value);
    for (const id of ["sort", "size"]) if (control[id].value !== usual[id]) told.set(id, control[id].value);
    for (const id of ["states", "outcomes"]) if (unwanted(id).length) told.set(`not-${id}`, unwanted(id).join(","));
    if (page) told.set("page", String(page + 1));
    if (opened) told.set("image", opened.key);
    try { history.replaceState(null, "", `#${told}`); } catch { /* some browsers allow it to no page on a disk */ }
  };
  const recall = () => {
    const told = new URLSearchParams(location.hash.slice(1));
    for (const id of ["search", "kind", "marked", "sort", "size"]) {
      const value = told.get(id);
      if (value !== null && (id === "search" || [...control[id].options].some((one) => one.value === value))) control[id].value = value;
    }
    for (const id of ["states", "outcomes"]) {
      const off = (told.get(`not-${id}`) ?? "").split(",");
      for (const box of boxes(id)) box.checked = !off.includes(box.value);
    }
    page = Math.max(0, Math.trunc(Number(told.get("page") ?? 1)) - 1 || 0);
    return told.get("image");
  };

  // Pictures

  const framed = (row, { large = false } = {}) => {
    if (row.error !== undefined) return element("div", { className: "nothing", textContent: row.error });
    const picture = (className, src) => element("img", { className, src, alt: "", loading: large ? "eager" : "lazy", decoding: "async" });
    if (!row.preview || !row.layers) {
      const other = row.preview ? found.previewUrl(row.preview) : row.heatmap ? found.resultUrl(row.heatmap) : null;
      return other ? picture("alone", other) : element("div", { className: "nothing", textContent: "There is no small picture of it." });
    }
    const [width, height] = row.size, layers = found.previewUrl(row.layers);
    const made = element("div", { className: "stack" }, picture("photograph", found.previewUrl(row.preview)), picture("heat", layers), picture("lines", `${layers}#lines`));
    made.style.aspectRatio = `${width} / ${height}`;
    // Within a square, the longer side is whole.
    if (!large) made.style[width >= height ? "width" : "height"] = "100%";
    return made;
  };

  const verdictButtons = (row, place) => {
    place.replaceChildren();
    if (row.state === "failed") return;
    for (const verdict of ["good", "defective"]) {
      const isOn = marks.of(row) === verdict;
      place.append(element("button", { type: "button", textContent: verdict, data: { verdict }, aria: { pressed: isOn, label: `${found.split(row.path)[1]} is ${verdict}` } }));
    }
  };
  const chips = (row) => element("span", { className: "chips" },
    element("span", { className: `chip ${row.state}`, textContent: words[row.state] }),
    row.outcome ? element("span", { className: `chip ${outcomeWords[row.outcome][1]}`, textContent: outcomeWords[row.outcome][0] }) : null,
    marks.isWrong(row) ? element("span", { className: "chip wrong", textContent: `marked: ${marks.of(row)}` }) : null,
    row.isReplaced ? element("span", { className: "chip", textContent: "earlier content" }) : null);
  const score = (row) => (row.score === undefined ? "" : `score ${found.shown(row.score, row.threshold)}${row.p_value === undefined ? "" : `, p ${found.shown(row.p_value)}`}`);

  const card = (row) => {
    const [folder, name] = found.split(row.path);
    const made = element("li", { className: "card" },
      element("button", { type: "button", className: "open", aria: { label: `Open ${row.path}: ${words[row.state]}${row.score === undefined ? "" : `, ${score(row)}`}` } },
        element("span", { className: "frame" }, framed(row))),
      element("div", { className: "what" },
        element("span", { className: "name", title: row.path }, element("span", { className: "folder", textContent: shortened(folder) }), name),
        chips(row), element("span", { className: "numbers", textContent: score(row) })),
      element("div", { className: "verdict" }));
    made.row = row;
    verdictButtons(row, made.querySelector(".verdict"));
    made.classList.toggle("is-wrong", marks.isWrong(row));
    return made;
  };
  const shortened = (folder) => { const parts = folder.split(/(?<=[/\\])/); return parts.length > 2 ? `…/${parts.at(-1)}` : folder; };
  const refresh = (one) => {
    one.querySelector(".chips").replaceWith(chips(one.row));
    const pressed = document.activeElement?.dataset?.verdict;
    for (const button of one.querySelectorAll(".verdict button")) button.setAttribute("aria-pressed", marks.of(one.row) === button.dataset.verdict);
    one.classList.toggle("is-wrong", marks.isWrong(one.row));
    return pressed;
  };

  // The list, page by page

  const pages = () => Math.max(1, Math.ceil(matching.length / PAGE));
  const draw = () => {
    page = Math.min(page, pages() - 1);
    const first = page * PAGE, some = matching.slice(first, first + PAGE);
    list.replaceChildren(...some.map(card));
    const all = found.all().length;
    byId("count").textContent = !all ? "No image yet." : !matching.length ? `No image matches; there are ${all.toLocaleString("en")}.`
      : `${(first + 1).toLocaleString("en")} to ${(first + some.length).toLocaleString("en")} of ${matching.length === all ? plural(all, "image") : `${matching.length.toLocaleString("en")} that match, of ${plural(all, "image")}`}`;
    for (const nav of document.querySelectorAll(".pager")) {
      nav.hidden = pages() === 1;
      nav.querySelector(".previous").disabled = page === 0;
      nav.querySelector(".next").disabled = page === pages() - 1;
      nav.querySelector(".place").textContent = `${page + 1} of ${pages()}`;
    }
    remember();
  };
  const filter = () => {
    matching = found.matching({
      states: wanted("states", found.states), outcomes: wanted("outcomes", Object.keys(found.outcomes)), search: control.search.value,
      kind: control.kind.value, marked: marks.kinds[control.marked.value], sort: control.sort.value,
    });
    draw();
  };
  const turn = (by) => {
    const next = Math.min(Math.max(page + by, 0), pages() - 1);
    if (next === page) return false;
    page = next;
    draw();
    list.scrollIntoView({ block: "nearest" });
    return true;
  };
  const tellMarks = () => {
    const counts = marks.counts();
    byId("marks").hidden = !counts.marked;
    byId("marks-count").textContent = `${counts.marked.toLocaleString("en")} marked: ${counts.good} good, ${counts.defective} defective; ${plural(counts.wrong, "decision")} wrong`;
    byId("save-defective").disabled = !counts.defective;
    byId("save-wrong").disabled = !counts.wrong;
  };

  // The head of the page

  const tell = () => {
    byId("facts").replaceChildren(...about.facts.map(([term, text]) => element("li", {}, element("b", { textContent: term }), term ? ": " : "", text)));
    const box = byId("notes-box");
    // Many would fill the first screen.
    if (box.hidden) box.open = about.notes.length < 3;
    box.hidden = !about.notes.length;
    box.querySelector("summary").textContent = plural(about.notes.length, "note");
    byId("notes").replaceChildren(...about.notes.map((text) => element("li", { textContent: text })));
    drawScores();
  };
  const drawScores = () => {
    const figure = byId("scores"), scored = found.all().filter((row) => row.score !== undefined);
    const thresholds = new Set(scored.map((row) => row.threshold)), models = new Set(scored.map((row) => row.model));
    // Scores of two models, or judged by two thresholds, are on no one axis.
    figure.hidden = scored.length < 5 || thresholds.size > 1 || models.size > 1;
    if (figure.hidden) return;
    const threshold = [...thresholds][0], values = scored.map((row) => row.score).concat(threshold ?? []);
    const low = Math.min(...values), high = Math.max(...values), step = (high - low) / MOST_BARS || 1;
    const bars = Array.from({ length: MOST_BARS }, () => Object.fromEntries(found.states.map((state) => [state, 0])));
    for (const row of scored) bars[Math.min(MOST_BARS - 1, Math.trunc((row.score - low) / step))][row.state] += 1;
    // Few beside many are seen, too.
    const height = Math.sqrt, top = height(Math.max(...bars.map((bar) => found.states.reduce((sum, state) => sum + bar[state], 0))));
    const svg = (tag, attributes) => { const made = document.createElementNS("http://www.w3.org/2000/svg", tag); for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value); return made; };
    const drawing = svg("svg", { viewBox: `0 0 ${MOST_BARS} 10`, preserveAspectRatio: "none", role: "img", "aria-label": `Scores from ${found.shown(low)} to ${found.shown(high)}${threshold === undefined ? "" : `, threshold ${found.shown(threshold)}`}` });
    bars.forEach((bar, place) => {
      let sum = 0;
      for (const state of ["anomalous", "unsure", "normal", "undecided"]) {
        if (!bar[state]) continue;
        const from = 10 * height(sum) / top, to = 10 * height(sum += bar[state]) / top;
        drawing.append(svg("rect", { class: state, x: place + 0.08, width: 0.84, y: 10 - to, height: to - from }));
      }
    });
    drawing.append(svg("line", { class: "axis", x1: 0, x2: MOST_BARS, y1: 10, y2: 10 }));
    if (threshold !== undefined) drawing.append(svg("line", { x1: (threshold - low) / step, x2: (threshold - low) / step, y1: -0.5, y2: 10 }));
    const ends = [`score ${found.shown(low)}`, threshold === undefined ? "" : `│ threshold ${found.shown(threshold)}`, found.shown(high)];
    figure.replaceChildren(drawing, element("figcaption", {}, ...ends.map((text) => element("span", { textContent: text }))));
  };

  // One image at a time: index_one.js

  const one = window.anomalistOne({
    found, marks, element, framed, chips, verdictButtons, words, about,
    at: (row) => matching.indexOf(row), row: (place) => matching[place], count: () => matching.length,
    changed: (row) => {
      const before = opened;
      opened = row;
      const place = matching.indexOf(row ?? before);
      if (place >= 0 && Math.trunc(place / PAGE) !== page) { page = Math.trunc(place / PAGE); draw(); } else remember();
      if (!row && place >= 0) list.children[place % PAGE]?.querySelector(".open").focus();
    },
    turnedLines: () => { control.lines.checked = !control.lines.checked; lines(); },
  });

  const current = () => document.activeElement?.closest?.(".card") ?? null;
  const step = (by) => {
    const cards = [...list.children], at = cards.indexOf(current());
    if (at < 0) return cards[0]?.querySelector(".open").focus();
    const next = at + by;
    if (next >= 0 && next < cards.length) cards[next].querySelector(".open").focus();
    else if (turn(Math.sign(by))) list.children[by > 0 ? 0 : list.children.length - 1].querySelector(".open").focus();
  };
  const columns = () => getComputedStyle(list).gridTemplateColumns.split(" ").length;
  const blend = () => document.documentElement.style.setProperty("--blend", control.blend.value / 100);
  const lines = () => document.body.classList.toggle("no-lines", !control.lines.checked);
  let heatBefore = control.blend.value;
  const flip = (range) => {
    if (Number(range.value)) { heatBefore = range.value; range.value = 0; } else range.value = Number(heatBefore) || 70;
    range.dispatchEvent(new Event("input"));
  };
  const mark = (row, key) => marks.give(row, { g: "good", d: "defective", w: marks.opposite(row) }[key]);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.matches?.("input[type=search], select, input[type=range]"), key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (typing) {
      if (event.target === control.search && key === "Enter") { event.preventDefault(); list.querySelector(".open")?.focus(); }
      if (event.target.matches("input[type=search], select") || !/^[hogdwz]$/.test(key)) return;
    }
    const row = opened ?? current()?.row, inGrid = !opened && (current() || event.target === document.body || event.target === list);
    const done = {
      g: () => row && mark(row, key), d: () => row && mark(row, key), w: () => row && mark(row, key),
      h: () => flip(opened ? byId("one-blend") : control.blend), o: () => { control.lines.checked = !control.lines.checked; lines(); }, z: () => opened && one.zoom(),
      "/": () => (opened ? false : control.search.focus()),
      ArrowRight: () => (opened ? one.step(1) : inGrid && step(1)), ArrowLeft: () => (opened ? one.step(-1) : inGrid && step(-1)),
      ArrowDown: () => inGrid && step(columns()), ArrowUp: () => inGrid && step(-columns()),
      PageDown: () => inGrid && turn(1), PageUp: () => inGrid && turn(-1),
    }[key]?.();
    if (done !== undefined && done !== false && done !== null) event.preventDefault();
    else if (/^[/ho]$/.test(key) || (row && /^[gdwz]$/.test(key))) event.preventDefault();
  });

  list.addEventListener("click", (event) => {
    const at = event.target.closest(".card");
    if (!at) return;
    const verdict = event.target.closest("[data-verdict]");
    if (verdict) marks.give(at.row, verdict.dataset.verdict);
    else if (event.target.closest(".open")) one.open(at.row);
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  for (const id of ["states", "outcomes", "kind", "marked", "sort"]) byId(id).addEventListener("change", () => { page = 0; filter(); });
  control.search.addEventListener("input", () => { page = 0; filter(); });
  control.blend.addEventListener("input", blend);
  control.lines.addEventListener("change", lines);
  control.size.addEventListener("change", () => { list.className = control.size.value; remember(); });
  for (const nav of document.querySelectorAll(".pager")) {
    nav.querySelector(".previous").addEventListener("click", () => turn(-1));
    nav.querySelector(".next").addEventListener("click", () => turn(1));
  }
  byId("save-verdicts").addEventListener("click", marks.saveVerdicts);
  for (const kind of ["defective", "wrong"]) {
    byId(`save-${kind}`).addEventListener("click", () => {
      const left = marks.saveList(kind);
      if (left) say(`${plural(left, "name")} with a line break can't be in a list of a name a line: left out.`);
    });
  }
  byId("clear-marks").addEventListener("click", () => { if (confirm("Remove all marks of this page?")) marks.clear(); });
  marks.listen(() => {
    for (const at of list.children) refresh(at);
    tellMarks();
    one.refresh();
  });
  const say = (text) => { byId("news").hidden = !text; byId("news").textContent = text; };

  // Results to which more is added are read again now and then

  window.anomalistMore = (more) => {
    const before = found.all().length, keyOpened = opened?.key;
    Object.assign(about, more.about);
    found.take(more.rows);
    start();
    opened = found.all().find((row) => row.key === keyOpened) ?? null;
    const fresh = found.all().length - before;
    if (fresh > 0) say(`${plural(fresh, "new image")}, as of ${new Date().toLocaleTimeString()}.`);
    again();
  };
  const again = () => {
    if (!about.goes_on) return;
    setTimeout(() => {
      const script = element("script", { src: `${about.folder}/rows.js?${Date.now()}` });
      script.addEventListener("load", () => script.remove());
      script.addEventListener("error", () => { script.remove(); again(); });
      document.head.append(script);
    }, 1000 * about.every);
  };

  const start = () => {
    fill("states", found.states, (name) => words[name]);
    fill("outcomes", Object.keys(found.outcomes), (name) => found.outcomes[name]);
    fillKinds();
    for (const [value, isThere] of [["outcome", found.all().some((row) => row.outcome)], ["disputed", found.all().some((row) => row.disagreement !== undefined)]]) {
      control.sort.querySelector(`[value=${value}]`).hidden = !isThere;
    }
    tell();
    const focused = list.contains(document.activeElement) ? current()?.row.key : null;
    filter();
    if (focused) [...list.children].find((at) => at.row.key === focused)?.querySelector(".open").focus();
    tellMarks();
  };
  control.sort.value = found.all().some((row) => row.outcome) ? "outcome" : "high";
  const usual = { sort: control.sort.value, size: control.size.value };
  byId("missing").hidden = true;
  byId("about").hidden = false;
  document.querySelector("main").hidden = false;
  for (const colours of document.querySelectorAll(".colours")) colours.style.backgroundImage = `linear-gradient(to right, ${about.colours.join(", ")})`;
  fill("states", found.states, (name) => words[name]);
  fill("outcomes", Object.keys(found.outcomes), (name) => found.outcomes[name]);
  fillKinds();
  const image = recall();
  list.className = control.size.value;
  blend();
  lines();
  start();
  const asked = image && matching.find((row) => row.key === image);
  if (asked) one.open(asked);
  again();
})();
