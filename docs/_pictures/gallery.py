"""Makes the pictures of docs/gallery.md: ``python docs/_pictures/gallery.py``.

It draws the sample set, runs three detectors on it, inspects its keys, and takes photographs of the
report, of the page of results and of the server's page in a browser (Chromium, by playwright).
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from anomalist.data import make_sample_set

OUT = Path(__file__).resolve().parents[1] / "images" / "gallery"
DETECTORS = ("patchcore", "padim", "dfm")
MODEL = "models/key.anomalist"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
# The temporary folder that all is made in is of no interest to readers.
WITHOUT = """folder => {
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode;
    if (text.data.includes(folder)) text.data = text.data.replaceAll(folder, "");
  }
}"""
WIDTH = 1000
QUALITY = 78


def anomalist(*words: str) -> None:
    """Run a command."""
    subprocess.run([sys.executable, "-m", "anomalist", *words, "--quiet"], check=True)


def keep(image: Image.Image, name: str) -> None:
    """Save a picture as small as the page shows it."""
    if image.width > WIDTH:
        height = round(image.height * WIDTH / image.width)
        image = image.resize((WIDTH, height), Image.Resampling.LANCZOS)
    OUT.mkdir(parents=True, exist_ok=True)
    image.convert("RGB").save(OUT / f"{name}.jpg", quality=QUALITY, optimize=True, progressive=True)
    print(f"{name}.jpg: {(OUT / f'{name}.jpg').stat().st_size // 1000} kB")


def beside(rows: list[list[Path]]) -> Image.Image:
    """Put pictures into rows, each as large as the page shows it."""
    side, gap = WIDTH // len(rows[0]), 4
    sheet = Image.new("RGB", (side * len(rows[0]) - gap, side * len(rows) - gap), "white")
    for y, row in enumerate(rows):
        for x, path in enumerate(row):
            image = Image.open(path).convert("RGB").resize((side - gap, side - gap))
            sheet.paste(image, (x * side, y * side))
    return sheet


def heatmaps(detector: str, photographs: list[Path]) -> list[Path]:
    """Fit a detector to the fabric, and return its pictures of photographs, in their order."""
    model, out = f"{detector}.anomalist", Path(f"inspected_{detector}")
    anomalist("fit", detector, "--data", "sample/woven_fabric/train/good", "--out", model)
    anomalist("predict", model, *map(str, photographs), "--out", str(out))
    lines = (out / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    found = {row["path"]: out / row["heatmap"] for row in map(json.loads, lines)}
    return [found[str(path)] for path in photographs]


def shot(browser: Browser, address: str, name: str, *, height: int = 760) -> None:
    """Keep what a browser shows of an address."""
    page = browser.new_page(viewport={"width": 1200, "height": height})
    page.goto(address, wait_until="load")
    page.wait_for_timeout(2000)
    page.evaluate(WITHOUT, f"{Path.cwd()}/")
    with tempfile.NamedTemporaryFile(suffix=".png") as file:
        page.screenshot(path=file.name)
        keep(Image.open(file.name), name)
    page.close()


@contextmanager
def serving(models: Path) -> Iterator[str]:
    """Serve models on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "anomalist", "serve", str(models), "--port", str(port)]
    server = subprocess.Popen([*command, "--state", str(models.parent / "state")])
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{address}/readyz", timeout=5)
                break
            except OSError:
                time.sleep(0.5)
        yield address
    finally:
        server.terminate()
        server.wait()


def inspect(address: str, paths: list[Path]) -> None:
    """Send photographs, one by one, as a camera does."""
    for path in paths:
        request = urllib.request.Request(
            f"{address}/v1/inspect?model=key&camera=top&name={path.parent.name}-{path.stem}",
            data=path.read_bytes(),
            headers={"Content-Type": "image/png"},
        )
        urllib.request.urlopen(request, timeout=120).read()


def sheets() -> None:
    """Run a benchmark, and keep its sheets and its report."""
    detectors = ",".join(DETECTORS)
    anomalist("benchmark", "sample", "--detectors", detectors, "--out", "results")
    for category in ("brass_key", "bottle_mouth", "woven_fabric"):
        keep(Image.open(f"results/patchcore/{category}_heatmaps.png"), category)


def methods() -> None:
    """Keep what each method sees in the first photograph of each kind."""
    kinds = sorted(Path("sample/woven_fabric/test").iterdir())
    photographs = [kind / "000.png" for kind in kinds]
    rows = [photographs, *(heatmaps(detector, photographs) for detector in DETECTORS)]
    keep(beside(rows), "methods")


def made_defects() -> None:
    """Keep made defects of every kind on keys."""
    command = ["synthesize", "sample/brass_key/train/good", "--kinds", "all", "--count", "5"]
    anomalist(*command, "--image_size", "160", "--out", "made.png")
    keep(Image.open("made.png"), "made_defects")


def inspected() -> None:
    """Keep what is left of an inspection of keys."""
    anomalist("fit", "patchcore", "--data", "sample/brass_key/train/good", "--out", MODEL)
    anomalist("predict", MODEL, "sample/brass_key/test", "--out", "inspected")
    sheet = Image.open("inspected/contact_sheet.png")
    keep(sheet.crop((0, 0, sheet.width, round(sheet.width * 0.7))), "contact_sheet")


def pages() -> None:
    """Keep what a browser shows of a report and of a line."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        shot(browser, Path("results/report.html").absolute().as_uri(), "report")
        shot(browser, Path("inspected/index.html").absolute().as_uri(), "index")
        with serving(Path(MODEL).parent) as address:
            good = sorted(Path("sample/brass_key/test/good").glob("*.png"))[:3]
            bad = sorted(Path("sample/brass_key/test/blocked_hole").glob("*.png"))[:3]
            inspect(address, [*good, *bad])
            shot(browser, address, "live")
        browser.close()


def main() -> None:
    """Make all pictures anew."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        make_sample_set("sample")
        sheets()
        methods()
        made_defects()
        inspected()
        pages()


if __name__ == "__main__":
    main()
