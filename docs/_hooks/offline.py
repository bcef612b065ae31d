"""Fails the build if a page would load anything from elsewhere: the site needs no network."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError

_LOADED = {
    "audio": ("src",),
    "embed": ("src",),
    "iframe": ("src",),
    "img": ("src", "srcset"),
    "link": ("href",),
    "object": ("data",),
    "script": ("src",),
    "source": ("src", "srcset"),
    "video": ("src", "poster"),
}
# Links that tell where a page stands and load nothing.
_TOLD = {"canonical", "alternate", "next", "prev", "edit"}


class _Loads(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "link" and set((values.get("rel") or "").split()) & _TOLD:
            return
        for name in _LOADED.get(tag, ()):
            address = values.get(name) or ""
            if address.strip().startswith(("http:", "https:", "//")):
                self.found.append(f"<{tag} {name}={address}>")


def loaded_from_elsewhere(html: str) -> list[str]:
    """Return what a browser that opens the page would load from another address."""
    parser = _Loads()
    parser.feed(html)
    return parser.found


def on_post_build(config: Any, **kwargs: Any) -> None:
    """Look at every page that was built, and at addresses in style sheets."""
    found = []
    for page in sorted(Path(config.site_dir).rglob("*.html")):
        text = page.read_text(encoding="utf-8")
        found += [f"{page}: {what}" for what in loaded_from_elsewhere(text)]
    for sheet in sorted(Path(config.site_dir).rglob("*.css")):
        text = sheet.read_text(encoding="utf-8")
        for start in ("url(http", 'url("http', "url('http", "url(//", "@import"):
            if start in text:
                found.append(f"{sheet}: {start}...")
    if found:
        raise PluginError("loaded from elsewhere:\n" + "\n".join(found))
