"use strict";
// One image at a time, large: the photograph itself where it can be read, with what was found beside it.
window.anomalistOne = (page) => {
  const { found, marks, element } = page;
  const byId = (id) => document.getElementById(id);
  const dialog = byId("one"), picture = byId("one-picture"), range = byId("one-blend"), zoomed = byId("one-zoom");
  let row = null, isWhole = false;

  const fact = (term, ...values) => [element("dt", { textContent: term }), element("dd", {}, ...values)];
  const link = (href, text) => element("a", { href, textContent: text, target: "_blank", rel: "noreferrer" });
  const facts = () => {
    const { shown } = found, made = [];
    const add = (term, value, ...values) => { if (value !== null && value !== undefined && value !== "") made.push(...fact(term, value, ...values)); };
    add("called", page.chips(row));
    add("kind", row.kind);
    add("score", row.score === undefined ? null : shown(row.score, row.threshold));
    add("threshold", row.threshold === undefined ? null : shown(row.threshold, row.score));
    add("p-value", row.p_value === undefined ? null : shown(row.p_value));
    add("disagreement", row.disagreement === undefined ? null : shown(row.disagreement));
    add("regions", row.regions === undefined ? null : `${row.regions} above the pixel threshold`);
    add("not scored", row.error);
    for (const note of row.notes ?? []) add("note", note);
    add("file", found.absolute(row.path));
    const links = [];
    if (!row.isReplaced) links.push(link(found.photographUrl(row), "photograph"));
    if (row.heatmap) links.push(link(found.resultUrl(row.heatmap), "heatmap"));
    if (links.length) add("open", ...links.flatMap((one, place) => (place ? [", ", one] : [one])));
    add("SHA-256", row.sha256);
    byId("one-facts").replaceChildren(...made);
  };

  // As large as the room for it, or as many pixels as the photograph has.
  const fit = () => {
    const stack = picture.querySelector(".stack");
    picture.classList.toggle("whole-pixels", isWhole);
    zoomed.setAttribute("aria-pressed", isWhole);
    if (!stack) return;
    const image = stack.querySelector(".photograph"), [width, height] = row.size;
    const pixels = isWhole ? Math.max(image.naturalWidth, width) : Math.min(picture.clientWidth, picture.clientHeight * width / height);
    stack.style.width = `${pixels}px`;
    stack.style.maxWidth = stack.style.maxHeight = isWhole ? "none" : "100%";
  };
  const photograph = () => {
    if (!row.layers || row.isReplaced) return;
    const of = row, full = new Image();
    full.addEventListener("load", () => {
      const image = picture.querySelector(".photograph"), [width, height] = row.size;
      // What lies there now may be another photograph.
      const alike = Math.abs(full.naturalWidth / full.naturalHeight / (width / height) - 1) < 0.02 + 1 / Math.min(width, height);
      if (row !== of || !image || !alike) return;
      image.src = full.src;
      image.addEventListener("load", fit, { once: true });
    });
    full.src = found.photographUrl(row);
  };
  const blend = () => picture.style.setProperty("--blend", range.value / 100);

  const show = (next) => {
    row = next;
    byId("one-name").textContent = row.path;
    picture.replaceChildren(page.framed(row, { large: true }));
    page.verdictButtons(row, byId("one-verdict"));
    facts();
    byId("one-previous").disabled = page.at(row) <= 0;
    byId("one-next").disabled = page.at(row) >= page.count() - 1;
    range.closest("label").hidden = zoomed.hidden = !row.preview || !row.layers;
    blend();
    fit();
    photograph();
    page.changed(row);
  };
  const step = (by) => {
    const next = page.row(page.at(row) + by);
    if (next) show(next);
  };
  const zoom = () => { isWhole = !isWhole; fit(); };

  dialog.addEventListener("close", () => { row = null; page.changed(null); });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  byId("one-close").addEventListener("click", () => dialog.close());
  byId("one-previous").addEventListener("click", () => step(-1));
  byId("one-next").addEventListener("click", () => step(1));
  zoomed.addEventListener("click", zoom);
  range.addEventListener("input", blend);
  byId("one-verdict").addEventListener("click", (event) => {
    const verdict = event.target.closest("[data-verdict]");
    if (verdict) marks.give(row, verdict.dataset.verdict);
  });
  new ResizeObserver(() => row && fit()).observe(picture);

  return {
    open: (next) => { range.value = byId("blend").value; dialog.showModal(); show(next); byId("one-next").focus(); },
    step, zoom,
    refresh: () => {
      if (!row) return;
      for (const button of byId("one-verdict").children) button.setAttribute("aria-pressed", marks.of(row) === button.dataset.verdict);
      byId("one-facts").querySelector(".chips").replaceWith(page.chips(row));
    },
  };
};
