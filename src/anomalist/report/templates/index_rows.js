"use strict";
// What was found, as rows: how numbers and links look, which rows are shown, in which order.
window.anomalistRows = ((found) => {
  if (!found) return null;
  const { about } = found;

  const DIGITS = 4;
  const trimmed = (text) => (text.includes(".") ? text.replace(/\.?0+$/, "") : text);
  const rounded = (value, digits) => {
    if (!value || !Number.isFinite(value)) return String(value);
    const [mantissa, text] = value.toExponential(digits - 1).split("e"), power = Number(text);
    if (power >= digits && Math.abs(value) < 1e15) return value.toFixed(0); // whole parts keep all digits
    if (power >= -4 && power < digits) return trimmed(value.toPrecision(digits));
    return `${trimmed(mantissa)}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
  };
  // As many more digits as tell a score and its threshold apart.
  const shown = (value, beside = null) => {
    if (value === null || value === undefined) return "–";
    let digits = DIGITS;
    if (beside !== null && beside !== value) while (digits < 17 && rounded(value, digits) === rounded(beside, digits)) digits += 1;
    return rounded(value, digits);
  };

  // Names of files hold anything: bytes that are no text, too, which arrive as lone surrogates.
  const encoded = (path) => Array.from(about.separator === "\\" ? path.replaceAll("\\", "/") : path, (letter) => {
    if (letter === "/") return letter;
    const code = letter.codePointAt(0);
    if (code >= 0xdc80 && code <= 0xdcff) return `%${(code - 0xdc00).toString(16).toUpperCase()}`;
    return code >= 0xd800 && code <= 0xdfff ? "%EF%BF%BD" : encodeURIComponent(letter);
  }).join("");
  const drive = /^[A-Za-z]:[\\/]/;
  const isWhole = (path) => path.startsWith("/") || (about.separator === "\\" && drive.test(path));
  const absolute = (path) => isWhole(path) || !about.place ? path : `${about.place}${about.separator}${path}`;
  const fileUrl = (path) => (path.startsWith("/") ? `file://${encoded(path)}` : `file:///${path.slice(0, 2)}${encoded(path.slice(2))}`);
  const photographUrl = (row) => (isWhole(row.path) ? fileUrl(row.path) : `${about.base}${encoded(row.path)}`);
  const resultUrl = (name) => `./${encoded(name)}`;
  const previewUrl = (name) => `${about.previews}/${name}`;

  const split = (path) => {
    const at = Math.max(path.lastIndexOf("/"), about.separator === "\\" ? path.lastIndexOf("\\") : -1);
    return [path.slice(0, at + 1), path.slice(at + 1)];
  };

  let rows = [];
  const take = (given) => {
    const last = new Map();
    rows = given.map((row, place) => {
      last.set(row.path, place);
      // Of two rows of one file, the later is of what is there now.
      return { ...row, place, key: row.sha256 ?? row.path, lower: row.path.toLowerCase() };
    });
    for (const row of rows) row.isReplaced = last.get(row.path) !== row.place;
  };
  take(found.rows);

  const states = ["anomalous", "unsure", "normal", "undecided", "failed"];
  const outcomes = { miss: "missed", "false alarm": "false alarms", hit: "hits", pass: "correctly passed" };
  const counted = (name) => rows.reduce((counts, row) => counts.set(row[name], (counts.get(row[name]) ?? 0) + 1), new Map());

  const worst = { miss: 0, "false alarm": 1 };
  const number = (value, otherwise) => (value === null || value === undefined ? otherwise : value);
  const distance = (row) => (row.score === undefined || row.threshold === undefined ? Infinity : Math.abs(row.score - row.threshold));
  // What has no score is last, whichever way.
  const high = (a, b) => number(b.score, -Infinity) - number(a.score, -Infinity) || a.place - b.place;
  const orders = {
    high,
    low: (a, b) => number(a.score, Infinity) - number(b.score, Infinity) || a.place - b.place,
    near: (a, b) => distance(a) - distance(b) || a.place - b.place,
    outcome: (a, b) => (worst[a.outcome] ?? 2) - (worst[b.outcome] ?? 2) || high(a, b),
    disputed: (a, b) => number(b.disagreement, -1) - number(a.disagreement, -1) || a.place - b.place,
    name: (a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : a.place - b.place),
    order: (a, b) => a.place - b.place,
  };
  // -Infinity from itself is no number.
  const safe = (order) => (a, b) => { const by = order(a, b); return Number.isNaN(by) ? a.place - b.place : by; };
  const matching = (want) => {
    const words = want.search.toLowerCase().split(/\s+/).filter(Boolean);
    return rows.filter((row) => want.states.has(row.state) && (!row.outcome || want.outcomes.has(row.outcome))
      && (!want.kind || row.kind === want.kind) && words.every((word) => row.lower.includes(word)) && want.marked(row),
    ).sort(safe(orders[want.sort] ?? high));
  };

  return { about, shown, absolute, photographUrl, resultUrl, previewUrl, split, take, states, outcomes, counted, matching, all: () => rows };
})(window.anomalist);
