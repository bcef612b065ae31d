"""A browser for tests of pages, and a check of what they open for those who can't see them."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
_GRAVE = ("serious", "critical")


# Not a session's: while playwright runs, no test in the same process can run an event loop.
@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, driven by playwright."""
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no Chromium on the path")
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture(scope="session")
def axe() -> Callable[[Any], None]:
    """A check of an open page: axe-core finds nothing serious or critical, in light and dark."""
    found = importlib.util.find_spec("axe_playwright_python")
    if found is None or found.origin is None:
        pytest.skip("axe-playwright-python isn't installed")
    script = Path(found.origin).with_name("axe.min.js").read_text(encoding="utf-8")

    def check(page: Any) -> None:
        if not page.evaluate("'axe' in window"):
            page.evaluate(script)
        # Of all rules, only contrast is another matter in the dark.
        for scheme, rules in (("light", None), ("dark", ["color-contrast"])):
            page.emulate_media(color_scheme=scheme)
            options: dict[str, Any] = {"resultTypes": ["violations"]}
            if rules is not None:
                options["runOnly"] = {"type": "rule", "values": rules}
            violations = page.evaluate(
                "async (options) => (await axe.run(document, options)).violations", options
            )
            grave = [
                f"{one['id']} ({one['impact']}, {scheme}): {node['target']} {node['html'][:160]}"
                f" {node['failureSummary']}"
                for one in violations
                if one["impact"] in _GRAVE
                for node in one["nodes"]
            ]
            assert not grave, "\n".join(grave)
        page.emulate_media(color_scheme=None)

    return check
