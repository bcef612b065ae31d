"""A person's way through the page in a real browser: nothing fails or is asked for elsewhere."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from anomalist.server.app import create_app
from anomalist.server.inspecting import Upload
from anomalist.server.service import Service
from anomalist.server.settings import ServerSettings
from tests.server.conftest import picture
from tests.server.test_pages import PAGES

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
SIZES = ((390, 844), (1280, 800), (1920, 1080))
_PATIENCE_MS = 60_000

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def settings(settings: ServerSettings, models: Path) -> ServerSettings:
    return replace(settings, training=(str(models.parent / "good"),))


@pytest.fixture
def address(service: Service) -> Iterator[str]:
    """Where a server listens that was started as it is for people."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(create_app(service), log_config=None, access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    service.stopping.set()
    server.should_exit = True
    thread.join(30)
    listener.close()


@pytest.fixture
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no Chromium on the path")
    arguments = ["--no-sandbox", "--use-fake-device-for-media-stream"]
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield running
        running.close()


class Visit:
    """A page in a browser, with all that went wrong on it and all that it asked for."""

    def __init__(self, browser: Any, address: str, size: tuple[int, int], state: Any = None):
        width, height = size
        self.address = address
        self.context = browser.new_context(
            viewport={"width": width, "height": height},
            storage_state=state,
            permissions=["camera"],
            reduced_motion="reduce",
        )
        self.context.set_default_timeout(_PATIENCE_MS)
        self.page = self.context.new_page()
        self.problems: list[str] = []
        self.page.on("console", lambda m: self.problems.append(f"{m.type}: {m.text}"))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("request", lambda request: self._asked(request.url))

    def _asked(self, url: str) -> None:
        if not url.startswith((self.address, "blob:", "data:")):
            self.problems.append(f"asked for {url}")

    def go(self, path: str) -> None:
        self.page.goto(self.address + path)

    def sees(self, text: str) -> None:
        self.page.get_by_text(text).first.wait_for()
        self.page.wait_for_load_state()  # keys work from then on

    def overflow(self) -> int:
        script = "document.documentElement.scrollWidth - window.innerWidth"
        return int(self.page.evaluate(script))

    def nameless(self) -> list[str]:
        """What can be pressed or filled in and has no name for who listens instead of looking."""
        script = """() => [...document.querySelectorAll(
            "a, button, input:not([type=hidden]), select, textarea")]
            .filter((one) => !one.labels?.length && !one.ariaLabel && !one.textContent.trim()
                && !one.querySelector("img[alt]:not([alt=''])"))
            .map((one) => one.outerHTML.slice(0, 120))"""
        return list(self.page.evaluate(script))


def inspect(service: Service, prefix: str, seeds: range, **look: Any) -> None:
    service.inspector.inspect(
        [
            Upload(name=f"{prefix}_{seed}.png", data=picture(seed, **look), source="http",
                   camera="top")
            for seed in seeds
        ]
    )  # fmt: skip


@on_sqlite
def test_a_person_walks_through_the_page(service: Service, address: str, browser: Any) -> None:
    token = service.tokens.make("ann", "admin")
    visit = Visit(browser, address, SIZES[1])
    page = visit.page

    visit.go("/")
    page.get_by_label("Token").fill(token)
    page.keyboard.press("Enter")
    visit.sees("No part yet")

    # Live: a part shows without the page being loaded again.
    inspect(service, "bad", range(300, 301), defect=True)
    page.locator(".now.defect .huge", has_text="Defect").wait_for()
    inspect(service, "bright", range(200, 212), light=1.8)  # false alarms
    page.locator(".now-name", has_text="bright_211.png").wait_for()
    with page.expect_navigation():
        page.locator(".strip .tile").first.click()

    # One inspection: heatmap, a marked place, and a verdict by key.
    page.locator("#opacity").fill("20")
    assert page.locator("#heat").evaluate("(heat) => heat.style.opacity") == "0.2"
    page.get_by_text("Kind, note, place").click()
    stage = page.locator("#stage").bounding_box()
    page.mouse.move(stage["x"] + 20, stage["y"] + 20)
    page.mouse.down()
    page.mouse.move(stage["x"] + 60, stage["y"] + 70)
    page.mouse.up()
    assert len(page.locator("#region").input_value().split(",")) == 4
    page.locator("h1").click()
    page.keyboard.press("d")
    visit.sees("Defective, says ann")
    page.keyboard.press("g")
    visit.sees("Good, says ann")
    page.keyboard.press("n")
    visit.sees("bright_209.png")

    # Review: one after the other, until nothing waits.
    visit.go("/queue")
    with page.expect_navigation():
        page.keyboard.press("n")
    for _ in range(service.review.waiting()):
        name = page.locator("h1 .name").inner_text()
        key = "d" if name.startswith("bad") else "g"
        with page.expect_navigation():
            page.keyboard.press(key)
    visit.sees("Nothing waits")

    # Drift: what came is brighter than what was learnt from.
    deadline = time.monotonic() + 30
    while not service.drift.warnings(open_only=True) and time.monotonic() < deadline:
        time.sleep(0.1)
    visit.go("/")
    page.locator(".warning a").first.click()
    page.locator("svg.plot").nth(3).wait_for()
    assert page.locator("svg.plot").count() == 4
    page.get_by_role("button", name="I took note").first.click()
    visit.sees("No warning is open")

    # Learn: a candidate, compared, promoted, rolled back.
    visit.go("/models")
    page.locator("#refit").click()
    # The page loads again once the candidate is there, which takes minutes on busy cores.
    page.locator("#promote").wait_for(timeout=5 * _PATIENCE_MS)
    drawn = page.locator(".changes img").first
    drawn.scroll_into_view_if_needed()
    page.wait_for_function("(img) => img.naturalWidth > 0", arg=drawn.element_handle())
    page.locator("#promote").click()
    visit.sees("Version 2 answers")
    page.locator("#roll-back").click()
    visit.sees("Version 1 answers")

    # Try: a file, and this device's camera.
    visit.go("/try")
    page.locator("#file").set_input_files(
        {"name": "t.png", "mimeType": "image/png", "buffer": picture(5, defect=True)}
    )
    page.get_by_role("button", name="Inspect", exact=True).click()
    page.locator("#found .now.defect").wait_for()

    # History: filters work without loading the page, and stay in its address.
    visit.go("/history")
    page.get_by_label("Decision").select_option("anomalous")
    page.wait_for_url("**/history?decision=anomalous*")
    assert page.locator("#found .decided.ok").count() == 0

    assert visit.problems == []
    state = visit.context.storage_state()
    visit.context.close()
    newest = service.memory.page(limit=1).records[0].inspection.id
    for size in SIZES:
        other = Visit(browser, address, size, state)
        for path in (*PAGES, f"/inspections/{newest}"):
            other.go(path)
            assert other.overflow() <= 0, (path, size)
            assert other.nameless() == [], path
        assert other.problems == []
        other.context.close()

    last = Visit(browser, address, SIZES[0], state)
    last.go("/history")
    last.page.wait_for_load_state("networkidle")  # pictures on their way would be refused
    last.page.get_by_role("button", name="Sign out").click()
    last.page.get_by_label("Token").wait_for()
    last.go("/")
    assert last.page.url.endswith("/sign-in?next=/")
    assert last.problems == []
    last.context.close()


@on_sqlite
def test_the_browsers_camera_takes_a_photograph(
    service: Service, address: str, browser: Any
) -> None:
    visit = Visit(browser, address, SIZES[0])
    visit.go("/try")
    visit.page.get_by_role("button", name="Use this device's camera").click()
    visit.page.wait_for_function("() => document.getElementById('video').videoWidth > 0")
    visit.page.locator("#shoot").click()
    visit.page.locator("#found .now").wait_for()
    assert service.memory.page().records[0].inspection.source == "page"
    visit.page.get_by_role("button", name="Stop the camera").click()
    assert visit.problems == []
    visit.context.close()


@on_sqlite
def test_a_page_that_no_longer_hears_says_so(service: Service, address: str, browser: Any) -> None:
    inspect(service, "good", range(1))
    visit = Visit(browser, address, SIZES[0])
    visit.go("/")
    visit.page.locator(".now").wait_for()
    visit.context.set_offline(True)
    visit.page.locator("#lost:not([hidden])").wait_for()
    visit.context.set_offline(False)
    visit.page.locator("#lost").wait_for(state="hidden")
    visit.context.close()
