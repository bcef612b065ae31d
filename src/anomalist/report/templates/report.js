"use strict";
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const byId = (id) => document.getElementById(id);
  const report = read("report-data");
  const detectors = Object.keys(report.detectors);

  const element = (tag, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children.filter((child) => child !== null));
    return made;
  };
  const short = (value) => value == null ? "–" : String(Number(value.toPrecision(4)));
  // Plotly reads names as a little HTML.
  const literal = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

  // Charts

  // A toolbar would cover curves, and a chart that takes a finger's drag keeps a page from being scrolled.
  const touched = matchMedia("(pointer: coarse)").matches;
  const config = { responsive: true, displayModeBar: false };
  const axis = (title, more = {}) => ({ title: { text: title, standoff: 8 }, zeroline: false, automargin: true, ...more });
  const layout = (x, y, more = {}) => ({
    xaxis: x, yaxis: y, margin: { l: 56, r: 16, t: 16, b: 48 }, paper_bgcolor: "transparent", plot_bgcolor: "transparent",
    font: { family: "system-ui, sans-serif", size: 13 }, legend: { orientation: "h", y: -0.22, yanchor: "top" },
    showlegend: true, hovermode: "closest", dragmode: touched ? false : "zoom", hoverlabel: { font: { color: "#fff" } }, ...more,
  });
  const empty = (place, text) => {
    if (place.classList.contains("js-plotly-plot")) Plotly.purge(place);
    place.replaceChildren(element("div", { className: "empty", textContent: text }));
  };
  const draw = (place, traces, shape, nothing) => {
    if (!traces.length) return empty(place, nothing);
    if (!place.classList.contains("js-plotly-plot")) place.replaceChildren();
    Plotly.react(place, traces, shape, config);
  };

  const tradeoff = () => {
    const accuracy = byId("tradeoff-accuracy"), time = byId("tradeoff-time");
    const traces = detectors.filter((name) => report.tradeoff[name][accuracy.value] && report.tradeoff[name][time.value] > 0).map((name) => {
      const style = report.detectors[name], [value, low, high] = report.tradeoff[name][accuracy.value];
      const error = low === null ? {} : { error_y: { type: "data", symmetric: false, array: [high - value], arrayminus: [value - low], thickness: 1.2, width: 4 } };
      return {
        x: [report.tradeoff[name][time.value]], y: [value], name: literal(name), mode: "markers", ...error,
        marker: { color: style.colour, symbol: style.symbol, size: 12 }, hovertemplate: "%{fullData.name}<br>%{y:.2f} %, %{x:.3s}<extra></extra>",
      };
    });
    const times = traces.flatMap((trace) => trace.x), narrow = Math.max(...times) < 6 * Math.min(...times);
    const steps = narrow ? [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8] : [1, 2, 5];
    const ticks = [-3, -2, -1, 0, 1, 2, 3, 4, 5].flatMap((power) => steps.map((step) => Number(`${step}e${power}`)));
    const x = time.value === "predict" ? "milliseconds to judge an image" : "seconds to fit a category";
    const chosen = (list) => list.options[list.selectedIndex].text;
    draw(byId("tradeoff"), traces, layout(axis(x, { type: "log", range: [Math.min(...times) / 1.25, Math.max(...times) * 1.25].map(Math.log10), tickvals: ticks, ticktext: ticks.map(String) }), axis(`${chosen(accuracy)}, %`)), "Nothing to show: it could not be measured.");
  };

  const curveAxes = {
    roc: ["false positive rate", "recall"], pr: ["recall", "precision"], pixel_roc: ["false positive rate of pixels", "recall of pixels"],
    pixel_pr: ["recall of pixels", "precision of pixels"], pro: ["false positive rate of pixels", "overlap with regions"],
  };
  const ofRun = () => (report.runs[byId("run-category").value] || {})[byId("run-seed").value] || {};
  const curves = () => {
    const kind = document.querySelector("input[name=curve]:checked").value, run = ofRun();
    const traces = detectors.filter((name) => run[name]?.curves[kind]).map((name) => ({
      ...run[name].curves[kind], name: literal(name), mode: "lines",
      line: { color: report.detectors[name].colour, dash: report.detectors[name].dash, width: 2, shape: kind.endsWith("pr") ? "vh" : "linear" },
      hovertemplate: "%{fullData.name}: %{x:.3f}, %{y:.3f}<extra></extra>",
    }));
    const [x, y] = curveAxes[kind];
    draw(byId("curve"), traces, layout(axis(x, { range: kind === "pro" ? [0, 0.3] : [-0.01, 1.01] }), axis(y, { range: [-0.01, 1.02] })), "There is no such curve: it takes good and defective images, and masks for pixels.");
    byId("curve-note").textContent = `${byId("run-category").value}, seed ${byId("run-seed").value}: ${traces.length} of ${detectors.length} detectors.`;
  };

  const groups = { "held out": ["#7f7f7f", "dot", "held-out good"], good: ["#0072b2", "dash", "good test"], defective: ["#d55e00", "solid", "defective test"], unlabelled: ["#8c6bb1", "solid", "unlabelled test"] };
  const histograms = () => {
    const run = ofRun();
    for (const [i, name] of detectors.entries()) {
      const place = byId("histograms").children[i], found = run[name];
      if (!found?.histogram) { empty(place, `${name}: no scores`); continue; }
      const { edges, shares, counts } = found.histogram;
      const traces = Object.keys(shares).map((group) => {
        const [color, dash, label] = groups[group];
        return {
          x: edges, y: [...shares[group], 0], name: `${label} (${counts[group]})`, mode: "lines", fill: "tozeroy",
          fillcolor: `${color}26`, line: { color, dash, width: 2, shape: "hv" }, hovertemplate: "%{fullData.name}<br>from %{x:.4~g}: %{y:.1f} %<extra></extra>",
        };
      });
      const threshold = found.threshold;
      const shapes = threshold === null ? [] : [{ type: "line", x0: threshold, x1: threshold, y0: 0, y1: 1, yref: "paper", line: { color: "#7f7f7f", width: 2 } }];
      const annotations = threshold === null ? [] : [{ x: threshold, y: 1, yref: "paper", text: "threshold", showarrow: false, xanchor: "left", yanchor: "top", xshift: 3 }];
      draw(place, traces, layout(axis("score", { nticks: 6 }), axis("% of images", { rangemode: "tozero", nticks: 5 }), {
        title: { text: literal(name), font: { size: 14 }, x: 0.02, y: 0.97 }, margin: { l: 48, r: 8, t: 34, b: 40 }, shapes, annotations, showlegend: false,
      }), "");
    }
  };

  const coverage = () => {
    const run = ofRun();
    const traces = detectors.filter((name) => run[name]?.coverage).map((name) => ({
      ...run[name].coverage, name: literal(name), mode: "lines", line: { color: report.detectors[name].colour, dash: report.detectors[name].dash, width: 2 },
      hovertemplate: "%{fullData.name}: of the surest %{x:.0f} %, %{y:.1f} % are wrong<extra></extra>",
    }));
    draw(byId("coverage"), traces, layout(axis("images decided on, %", { range: [0, 101] }), axis("wrong among them, %", { rangemode: "tozero" })), "There is no such curve: it takes labels and a calibrated threshold.");
  };

  const drawRun = () => { curves(); histograms(); coverage(); };
  for (const name of detectors) {
    const place = element("div", { className: "chart" });
    place.setAttribute("role", "img");
    place.setAttribute("aria-label", `Scores of ${name}`);
    byId("histograms").append(place);
  }
  for (const id of ["run-category", "run-seed"]) byId(id).addEventListener("change", drawRun);
  for (const input of document.querySelectorAll("input[name=curve]")) input.addEventListener("change", curves);
  for (const id of ["tradeoff-accuracy", "tradeoff-time"]) byId(id).addEventListener("change", tradeoff);
  tradeoff();
  drawRun();
  // Paper has a size of its own, which charts learn only by being told.
  const PAPER = { width: 660, height: 300 };
  const plots = () => document.querySelectorAll(".js-plotly-plot");
  window.addEventListener("beforeprint", () => {
    for (const place of plots()) {
      const small = place.closest(".charts") !== null;
      Plotly.relayout(place, { autosize: false, width: small ? PAPER.width / 2 : PAPER.width, height: small ? 0.6 * PAPER.height : PAPER.height });
    }
  });
  window.addEventListener("afterprint", () => {
    for (const place of plots()) Plotly.relayout(place, { autosize: true, width: null, height: null });
  });

  // Stress

  const stressed = report.stress;
  const stressChart = (place, name, metric, title) => {
    const shape = stressed.conditions[name], points = stressed.points[byId("stress-category")?.value ?? Object.keys(stressed.points)[0]][name];
    const found = (points[byId("stress-where")?.value ?? stressed.place] ?? points.train ?? {})[metric] ?? {};
    const traces = detectors.filter((detector) => found[detector]).map((detector) => {
      const style = report.detectors[detector], columns = [0, 1, 2, 3].map((i) => found[detector].map((point) => point[i]));
      const [x, y, low, high] = columns;
      return {
        x, y, name: literal(detector), mode: "lines+markers", line: { color: style.colour, dash: style.dash, width: 2 }, marker: { color: style.colour, symbol: style.symbol, size: 7 },
        error_y: { type: "data", symmetric: false, array: y.map((value, i) => high[i] === null ? 0 : high[i] - value), arrayminus: y.map((value, i) => low[i] === null ? 0 : value - low[i]), thickness: 1, width: 3, color: `${style.colour}88` },
        hovertemplate: "%{fullData.name} at %{x}: %{y:.1f} %<extra></extra>",
      };
    });
    const line = (more) => ({ type: "line", line: { color: "#7f7f7f", width: 1, dash: "dot" }, ...more });
    const shapes = shape.rest === null ? [] : [line({ x0: shape.rest, x1: shape.rest, y0: 0, y1: 1, yref: "paper" })];
    if (metric === "image_false_alarm_rate") {
      for (const alpha of stressed.alpha) shapes.push(line({ x0: 0, x1: 1, xref: "paper", y0: alpha, y1: alpha, line: { color: "#7f7f7f", width: 1, dash: "dash" } }));
    }
    const x = axis(name, { tickvals: shape.ticks.map(([level]) => level), ticktext: shape.ticks.map(([, text]) => text), tickangle: 0 });
    if (shape.log) x.type = "log";
    if (shape.falling) x.autorange = "reversed";
    draw(place, traces, layout(x, axis(`${title}, %`, { rangemode: metric === "image_false_alarm_rate" ? "tozero" : "normal" }), { shapes, showlegend: false, margin: { l: 48, r: 12, t: 12, b: 40 } }), "No run has it, or it couldn't be measured.");
  };
  const stress = () => {
    const metric = byId("stress-metric");
    for (const name of Object.keys(stressed.conditions)) {
      stressChart(byId(`stress-${name}-metric`), name, metric.value, metric.options[metric.selectedIndex].text);
      stressChart(byId(`stress-${name}-alarms`), name, "image_false_alarm_rate", "False alarms");
    }
  };
  if (stressed) {
    for (const id of ["stress-metric", "stress-where", "stress-category"]) byId(id)?.addEventListener("change", stress);
    stress();
  }

  // Tables by metric

  byId("metric")?.addEventListener("change", (event) => {
    for (const table of document.querySelectorAll(".by-metric")) table.classList.toggle("folded", table.dataset.index !== event.target.value);
  });

  // Gallery

  const images = read("gallery-data");
  if (!images.length) return;
  const PAGE = 24;
  const control = Object.fromEntries(["category", "kind", "detector", "outcome", "sort", "blend"].map((id) => [id, byId(id)]));
  const cards = byId("cards"), more = byId("more");
  const judged = (image) => control.detector.value ? [image.detectors[control.detector.value]].filter(Boolean) : Object.values(image.detectors);
  const score = (image) => {
    const values = judged(image).map((one) => one.relative ?? one.score);
    return values.reduce((sum, value) => sum + value, 0) / values.length;
  };
  // An ensemble knows of its own disagreement.
  const disputed = (image) => image.detectors[control.detector.value]?.disagreement ?? image.disagreement;
  const fill = (list, values) => {
    const before = list.value;
    list.replaceChildren(new Option("all", ""), ...values.map((value) => new Option(value, value)));
    list.value = values.includes(before) ? before : "";
  };
  const unique = (values) => [...new Set(values)].sort();
  const fillKinds = () => fill(control.kind, unique(images.filter((image) => !control.category.value || image.category === control.category.value).map((image) => image.kind)));

  const order = {
    disagreement: (a, b) => disputed(b) - disputed(a), high: (a, b) => score(b) - score(a),
    low: (a, b) => score(a) - score(b), order: () => 0,
  };
  const matching = () => images.filter((image) =>
    (!control.category.value || image.category === control.category.value) && (!control.kind.value || image.kind === control.kind.value)
    && judged(image).length && (!control.outcome.value || judged(image).some((one) => one.outcome === control.outcome.value || one.decision === control.outcome.value)),
  ).sort(order[control.sort.value]);

  const outline = (kind, path, [width, height]) => {
    if (!path) return null;
    const space = "http://www.w3.org/2000/svg", drawing = document.createElementNS(space, "svg");
    drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
    drawing.setAttribute("preserveAspectRatio", "none");
    drawing.setAttribute("class", kind);
    drawing.setAttribute("aria-hidden", "true");
    for (const layer of ["halo", "line"]) {
      const line = document.createElementNS(space, "path");
      line.setAttribute("d", path);
      line.setAttribute("class", layer);
      drawing.append(line);
    }
    return drawing;
  };
  const stack = (image, alt, ...layers) => {
    const made = element("div", { className: "stack" }, element("img", { src: image.photograph, alt }), ...layers, outline("truth", image.truth, image.size));
    made.style.aspectRatio = `${image.size[0]} / ${image.size[1]}`;
    return made;
  };
  const line = (text, className = "") => element("span", { textContent: text, className });
  const words = { hit: ["✓ hit", "right"], miss: ["✗ miss", "wrong"], "false alarm": ["✗ false alarm", "wrong"], pass: ["✓ correct pass", "right"] };
  const decisions = { anomalous: "anomalous", normal: "normal", unsure: "unsure: look at it", undecided: "no threshold" };

  const tiles = (image) => {
    const made = [element("figure", {}, stack(image, `Photograph of ${image.path}`), element("figcaption", {}, element("b", { textContent: "photograph" })))];
    for (const [name, one] of Object.entries(image.detectors)) {
      const map = image.maps[name];
      const caption = element("figcaption", {}, element("b", { textContent: name }),
        one.outcome ? line(...words[one.outcome]) : null,
        line(decisions[one.decision], one.decision === "unsure" ? "unsure" : ""),
        line(`score ${short(one.score)}${one.p === null ? "" : `, p ${Number(one.p.toPrecision(2))}`}`, "soft"),
        one.threshold === null ? null : line(`threshold ${short(one.threshold)}`, "soft"),
        one.recall === null ? null : line(`${Math.round(100 * one.recall)} % of defect marked`, "soft"),
        one.disagreement === null ? null : line(`members disagree by ${short(one.disagreement)}`, "soft"));
      const heat = map ? [element("img", { className: "heat", src: map.heat, alt: "" }), outline("contour", map.contour, map.size), outline("ignored", map.ignored, map.size)] : [];
      made.push(element("figure", {}, stack(image, `${map ? "Heatmap" : "No heatmap"} of ${name} over ${image.path}: ${decisions[one.decision]}`, ...heat.filter(Boolean)), caption));
      if (map?.spread) {
        made.push(element("figure", {}, stack(image, `Where the members of ${name} disagree on ${image.path}`, element("img", { className: "heat", src: map.spread, alt: "" })),
          element("figcaption", {}, element("b", { textContent: `${name}: disagreement` }), line("of its members, one threshold in the middle of the scale", "soft"))));
      }
    }
    return made;
  };
  const card = (image) => {
    const truth = image.label === null ? "label unknown" : image.label ? "defective" : "good";
    const area = image.area === null ? "" : `, ${Number((100 * image.area).toPrecision(2))} % of the picture`;
    const spread = Object.keys(image.detectors).length > 1 ? `; disagreement ${image.disagreement.toFixed(2)}` : "";
    return element("article", { className: "card" }, element("h3", { textContent: `${image.category} / ${image.path}` }),
      element("p", { textContent: `${truth}${area}${spread}` }), element("div", { className: "tiles" }, ...tiles(image)));
  };

  let found = [];
  const extend = () => {
    const first = cards.children.length;
    cards.append(...found.slice(first, first + PAGE).map(card));
    const shown = cards.children.length;
    more.hidden = shown === found.length;
    byId("count").textContent = found.length ? `${shown} of ${found.length} matching images, ${images.length} in this file.` : "No image matches: choose less.";
  };
  const most = images.reduce((many, image) => Math.max(many, Object.keys(image.detectors).length), 1);
  cards.style.setProperty("--tiles", most + 1);
  const filter = () => { found = matching(); cards.replaceChildren(); extend(); };

  const blend = () => cards.style.setProperty("--blend", control.blend.value / 100);

  fill(control.category, unique(images.map((image) => image.category)));
  fillKinds();
  if (detectors.length < 2) {
    control.sort.querySelector("[value=disagreement]").remove();
    control.detector.closest("label").hidden = true;
  }
  control.category.addEventListener("change", fillKinds);
  for (const id of ["category", "kind", "detector", "outcome", "sort"]) control[id].addEventListener("change", filter);
  control.blend.addEventListener("input", blend);
  byId("key-ignored").hidden = !images.some((image) => Object.values(image.maps).some((map) => map.ignored));
  for (const kind of ["truth", "contour"]) {
    byId(`show-${kind}`).addEventListener("change", (event) => cards.classList.toggle(`no-${kind}`, !event.target.checked));
  }
  more.addEventListener("click", () => {
    const next = cards.children.length;
    extend();
    const heading = cards.children[next].querySelector("h3");
    heading.tabIndex = -1;
    heading.focus();
  });
  blend();
  filter();
})();
