"use strict";
// What all pages that are written into results share: light or dark, and tables that say that they scroll.
(() => {
  // Pages opened from a disk may have no storage.
  const remembered = (value) => {
    try {
      if (value === undefined) return localStorage.getItem("anomalist-theme");
      if (value) localStorage.setItem("anomalist-theme", value); else localStorage.removeItem("anomalist-theme");
    } catch { /* the choice lasts as long as the page */ }
    return null;
  };
  const button = document.querySelector(".theme");
  const choices = ["", "dark", "light"], names = { "": "auto", dark: "dark", light: "light" };
  const choose = (theme) => {
    if (theme) document.documentElement.dataset.theme = theme; else delete document.documentElement.dataset.theme;
    if (button) { button.textContent = `◐ ${names[theme]}`; button.setAttribute("aria-label", `Colours: ${names[theme]}`); }
  };
  const kept = remembered();
  choose(choices.includes(kept) ? kept : "");
  if (button) {
    button.hidden = false;
    button.addEventListener("click", () => {
      const next = choices[(choices.indexOf(document.documentElement.dataset.theme ?? "") + 1) % choices.length];
      remembered(next);
      choose(next);
    });
  }

  const mark = (box) => {
    const wider = box.scrollWidth > box.clientWidth + 1;
    box.classList.toggle("wider", wider);
    box.classList.toggle("at-end", box.scrollLeft + box.clientWidth >= box.scrollWidth - 1);
    // Only what scrolls needs the keyboard.
    if (wider) box.tabIndex = 0; else box.removeAttribute("tabindex");
  };
  const watched = new ResizeObserver((entries) => { for (const entry of entries) mark(entry.target.closest(".scroll")); });
  for (const box of document.querySelectorAll(".scroll")) {
    box.addEventListener("scroll", () => mark(box), { passive: true });
    watched.observe(box);
    for (const child of box.children) watched.observe(child);
  }
})();
