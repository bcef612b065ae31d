/* What the pages do in the browser beyond htmx; each works, if less well, without it. */
"use strict";

// Times are shown in the zone of who reads them.
const clock = { hour: "2-digit", minute: "2-digit", second: "2-digit" };
function ago(seconds) {
  if (seconds < 60) return `${Math.max(0, Math.floor(seconds))} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}
function tellTimes(root) {
  for (const time of root.querySelectorAll("time[data-form]")) {
    const at = new Date(time.dateTime);
    const form = time.dataset.form;
    let text;
    if (form === "ago") text = ago((Date.now() - at) / 1000);
    else if (form === "time") text = at.toLocaleTimeString(undefined, clock);
    else text = at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
    if (time.textContent !== text) time.textContent = text;
    time.title = at.toLocaleString();
  }
}
tellTimes(document);
setInterval(() => tellTimes(document), 1000);
document.addEventListener("htmx:afterSwap", () => tellTimes(document));

// Where the menu is wider than the screen, the page that is open is in sight.
const here = document.querySelector("nav [aria-current]");
if (here) here.closest("nav").scrollLeft = here.offsetLeft - 48;

// A page that no longer hears from the server says so: what it shows is old.
const lost = document.getElementById("lost");
function hears(yes) {
  if (yes) lost.hidden = true;
  else if (lost.hidden) {
    lost.querySelector("span").textContent = new Date().toLocaleTimeString();
    lost.hidden = false;
  }
}
document.addEventListener("htmx:sendError", () => hears(false));
document.addEventListener("htmx:timeout", () => hears(false));
document.addEventListener("htmx:beforeOnLoad", (event) => {
  const status = event.detail.xhr.status;
  if (status === 401) location.reload(); // to sign in again
  else hears(status < 500);
});

// Times that are asked for are of the reader's zone.
for (const offset of document.querySelectorAll("input[name=offset]"))
  offset.value = new Date().getTimezoneOffset();
for (const zone of document.querySelectorAll("input[name=zone]"))
  zone.value = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

// Parts show as soon as they are inspected; without this, some seconds later.
if (document.querySelector(".live-parts") && window.EventSource) {
  const events = new EventSource("/v1/events");
  let waits = false;
  events.addEventListener("inspection", () => {
    if (waits) return; // many at once are shown at once
    waits = true;
    setTimeout(() => {
      waits = false;
      document.body.dispatchEvent(new Event("inspected"));
    }, 150);
  });
  window.addEventListener("pagehide", () => events.close());
}

// A choice that shows something else does so at once.
document.addEventListener("change", (event) => {
  if (event.target.matches("[data-submits]")) event.target.form.requestSubmit();
});

// What can't be undone is asked for twice.
document.addEventListener("submit", (event) => {
  const asked = event.submitter?.dataset.confirm;
  if (asked && !confirm(asked)) event.preventDefault();
});

// A key presses what names it, unless someone is writing.
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.target.closest("input:not([type=range]):not([type=checkbox]), textarea, select")) return;
  if (event.key === " " && event.target.closest("button, a, summary, input")) return;
  const pressed = document.querySelector(`[data-key="${CSS.escape(event.key.toLowerCase())}"]`);
  if (pressed && pressed.checkVisibility()) {
    event.preventDefault();
    pressed.click();
  }
});

// Back from a page that tells a fault, where there is a page to go back to.
for (const back of document.querySelectorAll("[data-back]")) {
  back.hidden = history.length < 2;
  back.addEventListener("click", () => history.back());
}

// One inspection: how strongly the heatmap shows, whether outlines do, and where a person marks.
const opacity = document.getElementById("opacity");
const heat = document.getElementById("heat");
if (opacity && heat) {
  const kept = sessionStorage.getItem("opacity");
  if (kept !== null) opacity.value = kept;
  const show = () => {
    heat.style.opacity = opacity.value / 100;
    sessionStorage.setItem("opacity", opacity.value);
  };
  opacity.addEventListener("input", show);
  show();
}
const outlined = document.getElementById("outlined");
if (outlined) {
  outlined.addEventListener("change", () => {
    document.getElementById("outlines").classList.toggle("off", !outlined.checked);
  });
}
const stage = document.getElementById("stage");
const region = document.getElementById("region");
if (stage && region) {
  const drawn = document.getElementById("drawn");
  const details = region.closest("details");
  const place = (event) => {
    const box = stage.getBoundingClientRect();
    const cut = (value) => Math.min(1, Math.max(0, value));
    return [
      cut((event.clientX - box.left) / box.width) * stage.dataset.width,
      cut((event.clientY - box.top) / box.height) * stage.dataset.height,
    ];
  };
  let from = null;
  const follow = () => stage.classList.toggle("drawing", details.open);
  details.addEventListener("toggle", follow);
  follow();
  stage.addEventListener("pointerdown", (event) => {
    if (!details.open || event.button !== 0) return;
    event.preventDefault();
    stage.setPointerCapture(event.pointerId);
    from = place(event);
  });
  stage.addEventListener("pointermove", (event) => {
    if (from === null) return;
    const to = place(event);
    const box = [0, 1].map((i) => Math.round(Math.min(from[i], to[i])));
    const size = [0, 1].map((i) => Math.round(Math.abs(from[i] - to[i])));
    for (const [name, value] of [["x", box[0]], ["y", box[1]], ["width", size[0]], ["height", size[1]]])
      drawn.setAttribute(name, value);
    region.value = size[0] > 1 && size[1] > 1 ? [...box, ...size].join(",") : "";
  });
  const stop = () => { from = null; };
  stage.addEventListener("pointerup", stop);
  stage.addEventListener("pointercancel", stop);
}

// Photographs that are dropped in, or taken with this device's camera, are sent at once.
const drop = document.getElementById("drop");
if (drop) {
  const form = document.getElementById("try");
  const file = document.getElementById("file");
  const send = (files) => {
    const held = new DataTransfer();
    for (const one of files) held.items.add(one);
    file.files = held.files;
    form.requestSubmit();
  };
  for (const kind of ["dragenter", "dragover"])
    drop.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
  for (const kind of ["dragleave", "drop"])
    drop.addEventListener(kind, () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files.length) send(event.dataTransfer.files);
  });

  const open = document.getElementById("camera");
  const view = document.getElementById("camera-view");
  const video = document.getElementById("video");
  const lens = document.getElementById("lens");
  const hint = document.getElementById("camera-hint");
  let stream = null;
  const stop = () => {
    for (const track of stream?.getTracks() ?? []) track.stop();
    stream = null;
    view.hidden = true;
    open.hidden = false;
  };
  const start = async (which) => {
    for (const track of stream?.getTracks() ?? []) track.stop();
    const wanted = which ? { deviceId: { exact: which } } : { facingMode: "environment" };
    try {
      stream = await navigator.mediaDevices.getUserMedia({
        video: { ...wanted, width: { ideal: 1920 } },
      });
    } catch (error) {
      hint.textContent = `The camera can't be used: ${error.message}`;
      stop();
      return;
    }
    hint.textContent = "";
    video.srcObject = stream;
    view.hidden = false;
    open.hidden = true;
    const used = stream.getVideoTracks()[0].getSettings().deviceId;
    const all = await navigator.mediaDevices.enumerateDevices();
    lens.replaceChildren(
      ...all
        .filter((one) => one.kind === "videoinput")
        .map((one, i) => new Option(one.label || `Camera ${i + 1}`, one.deviceId, false, one.deviceId === used)),
    );
  };
  if (navigator.mediaDevices?.getUserMedia) open.hidden = false;
  else hint.textContent = "A browser gives its camera to pages by https, or of this machine itself.";
  open.addEventListener("click", () => start());
  lens.addEventListener("change", () => start(lens.value));
  document.getElementById("camera-off").addEventListener("click", stop);
  document.getElementById("shoot").addEventListener("click", () => {
    const canvas = document.createElement("canvas");
    canvas.width = video.videoWidth;
    canvas.height = video.videoHeight;
    canvas.getContext("2d").drawImage(video, 0, 0);
    const name = `${new Date().toISOString().replaceAll(":", "-").slice(0, 19)}.png`;
    canvas.toBlob((blob) => send([new File([blob], name, { type: "image/png" })]), "image/png");
  });
}
