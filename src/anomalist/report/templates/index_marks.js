"use strict";
// What a person says of images: kept in this browser, saved as files that commands take.
window.anomalistMarks = ((found) => {
  if (!found) return null;
  const { about } = found;
  const KEY = `anomalist-marks-${about.id}`;

  // Pages opened from a disk may have no storage: then marks last as long as the page.
  const read = () => {
    try {
      const kept = JSON.parse(localStorage.getItem(KEY) ?? "{}");
      return new Map(Object.entries(kept).filter(([, verdict]) => verdict === "good" || verdict === "defective"));
    } catch { return new Map(); }
  };
  let marks = read(), listeners = [];
  const keep = () => {
    try {
      if (marks.size) localStorage.setItem(KEY, JSON.stringify(Object.fromEntries(marks))); else localStorage.removeItem(KEY);
    } catch { /* as above */ }
    for (const tell of listeners) tell();
  };
  window.addEventListener("storage", (event) => { if (event.key === KEY) { marks = read(); for (const tell of listeners) tell(); } });

  const of = (row) => marks.get(row.key) ?? "";
  const opposite = (row) => (row.decision === "anomalous" ? "good" : row.decision === "normal" ? "defective" : "");
  const isWrong = (row) => of(row) !== "" && of(row) === opposite(row);
  const give = (row, verdict) => {
    if (!verdict || row.state === "failed") return;
    if (of(row) === verdict) marks.delete(row.key); else marks.set(row.key, verdict);
    keep();
  };
  const clear = () => { marks = new Map(); keep(); };
  const kinds = {
    "": () => true, marked: (row) => of(row) !== "", unmarked: (row) => of(row) === "",
    good: (row) => of(row) === "good", defective: (row) => of(row) === "defective", wrong: isWrong,
  };
  // Two rows of one content are one image where their file is the same.
  const marked = (kind) => {
    const there = new Map();
    for (const row of found.all()) if (of(row) && kinds[kind](row)) there.set(row.path, row);
    return [...there.values()];
  };

  // Bytes of a name that are no text arrive as lone surrogates, and leave as those bytes.
  const bytes = (text) => {
    const parts = [];
    let plain = "";
    for (const letter of text) {
      const code = letter.codePointAt(0);
      if (code < 0xdc80 || code > 0xdcff) { plain += letter; continue; }
      parts.push(plain, Uint8Array.of(code - 0xdc00));
      plain = "";
    }
    return [...parts, plain];
  };
  const save = (name, text, type) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(bytes(text), { type }));
    link.download = name;
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  };
  // A list has a line a name, so a name with two lines can't be in it.
  const saveList = (kind) => {
    const rows = marked(kind), whole = rows.filter((row) => !/[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]/.test(row.path));
    save(`${kind}.txt`, whole.map((row) => `${found.absolute(row.path)}\n`).join(""), "text/plain;charset=utf-8");
    return rows.length - whole.length;
  };
  const cell = (value) => {
    const text = value === null || value === undefined ? "" : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const columns = ["path", "verdict", "decision", "score", "threshold", "p_value", "sha256"];
  const saveVerdicts = () => {
    const lines = marked("marked").map((row) => ({ ...row, path: found.absolute(row.path), verdict: of(row) }));
    save("verdicts.csv", [columns, ...lines.map((row) => columns.map((name) => row[name]))].map((row) => `${row.map(cell).join(",")}\r\n`).join(""), "text/csv;charset=utf-8");
  };
  const counts = () => {
    const all = { marked: 0, good: 0, defective: 0, wrong: 0 };
    for (const kind of Object.keys(all)) all[kind] = marked(kind).length;
    return all;
  };
  return { of, opposite, isWrong, give, clear, kinds, counts, saveList, saveVerdicts, listen: (tell) => listeners.push(tell) };
})(window.anomalistRows);
