from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from anomalist.data import Transform, walk
from anomalist.data.excluding import excluded
from anomalist.data.manifest import Manifest
from anomalist.digits import shown
from anomalist.errors import ResultsError
from anomalist.report import browser as pages
from anomalist.report.browser import PREVIEWS, About, check_page, remove_page, write_page
from anomalist.report.pictures import preview_name
from anomalist.report.preview import layers_name, layers_svg, write_layers

MODEL = "0123456789abcdef"
ODD = (
    "a b.png",
    "ü ñ 良品.png",
    "c#d?e%20f&g.png",
    "q\"uo'te.png",
    "<script>alert(1)<script>.png",
    "<img src=x onerror=alert(1)>.png",
    "back\\slash.png",
    "=1+2.png",
    "new\nline.png",
    "javascript:alert(1).png",
    "${1}`.png",
    "\u2028.png",
)
WIDTHS = (360, 1024, 1920)


def sha256(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()


def entry(path: str, score: float = 0.5, **more: Any) -> dict[str, Any]:
    """A line of predictions.jsonl."""
    return {
        "path": path,
        "score": score,
        "threshold": 1.0,
        "p_value": 0.05 if score > 0.9 else 0.5,
        "decision": "anomalous" if score > 1 else "normal",
        "regions": [],
        "sha256": sha256(path),
        "model": MODEL,
        **more,
    }


def failure(path: str) -> dict[str, Any]:
    return {"path": path, "error": f"{path} is empty", "sha256": sha256(path), "model": MODEL}


def draw(out: Path, one: dict[str, Any], size: tuple[int, int] = (48, 64)) -> None:
    """Write a photograph and its preview."""
    pixels = np.full((*size, 3), 120, np.uint8)
    Image.fromarray(pixels).save(one["path"], "PNG")
    folder = out / PREVIEWS
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels[::2, ::2]).save(folder / preview_name(one["sha256"]), "JPEG")
    values = np.zeros((16, 16), np.float32)
    values[4:8, 4:8] = 2.0
    name = layers_name(one["sha256"], MODEL, 1.0)
    write_layers(
        folder, name, size, values, transform=Transform(16), low=0.0, high=1.0, threshold=1.0,
        truth=values > 0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of photographs with odd names, two of which couldn't be read."""
    root = tmp_path_factory.mktemp("odd # names")
    out, photographs = root / "results 100%", root / "photographs"
    photographs.mkdir()
    names = [*ODD, *(f"{i:03}.png" for i in range(70))]
    entries = [entry(str(photographs / n), 0.1 + 0.016 * i) for i, n in enumerate(names)]
    for one in entries:
        draw(out, one)
    # A name that is no text, which some disks don't take.
    entries.append(entry(str(photographs / "raw\udcff.png"), 0.01))
    entries += [failure(str(photographs / f"torn-{i}.png")) for i in range(2)]
    facts = (("", f"{len(entries)} images"), ("threshold", "1, as given"))
    write_page(out, entries, About(title="Images <b>", facts=facts, notes=("a <i>note</i>",)))
    return out


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("evaluated")
    rows = [
        entry(str(out / "hit.png"), 1.5, label=True, kind="scratch"),
        entry(str(out / "missed.png"), 0.2, label=True, kind="scratch"),
        entry(str(out / "alarm.png"), 1.2, label=False, kind="good"),
        entry(str(out / "passed.png"), 0.1, label=False, kind="good"),
        entry(str(out / "unknown.png"), 0.95),
    ]
    for one in rows:
        draw(out, one)
    write_page(out, rows, About(title="Evaluated", table="metrics.json", truth=True))
    return out


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens a page, and fails where it logs an error, opens a dialog or asks any network."""
    contexts, wrong = [], []

    def open_(out: Path, width: int = 1024, *, asked: str = "", **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 800}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: wrong.append(dialog.message))
        page.on("request", lambda r: None if _is_local(r.url) else wrong.append(r.url))
        page.on("console", lambda m: wrong.append(m.text) if _is_wrong(m) else None)
        page.goto((out / "index.html").as_uri() + asked)
        page.wait_for_selector("main:not([hidden])")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert not wrong


def _is_local(url: str) -> bool:
    return url.startswith(("file:", "data:", "blob:"))


def _is_wrong(message: Any) -> bool:
    # A photograph that is gone is no fault of the page.
    # Nor is what axe looks for.
    expected = ("ERR_FILE_NOT_FOUND", "connect-src")
    return message.type == "error" and not any(word in message.text for word in expected)


def names_on(page: Any) -> list[str]:
    titles: list[str] = page.eval_on_selector_all(".card .name", "all => all.map(n => n.title)")
    return [title.rsplit("/", 1)[-1] for title in titles]


# Files


def test_rows_are_one_script_whatever_names_hold(results: Path) -> None:
    text = (results / "page" / "rows.js").read_bytes().decode("ascii")
    assert "<" not in text
    told = json.loads(text[text.index('{"about"') : text.rindex(");")])
    assert [Path(row["path"]).name for row in told["rows"]][: len(ODD)] == list(ODD)
    html = (results / "index.html").read_text(encoding="utf-8")
    assert "Images &lt;b&gt;" in html
    assert "unsafe" not in html


def test_numbers_for_machines_have_all_digits(tmp_path: Path) -> None:
    write_page(tmp_path, [entry("a.png", 0.1 + 0.2)], About(title="A"))
    assert "0.30000000000000004" in (tmp_path / "page" / "rows.js").read_text()


def test_another_page_of_that_name_is_left_alone(tmp_path: Path) -> None:
    theirs = tmp_path / "index.html"
    theirs.write_text("<title>My site</title>")
    with pytest.raises(ResultsError, match="--no_page"):
        write_page(tmp_path, [], About(title="A"))
    assert theirs.read_text() == "<title>My site</title>"
    assert not (tmp_path / "page").exists()
    remove_page(tmp_path)
    assert theirs.exists()


def test_a_page_goes_with_its_files_and_nothing_else(tmp_path: Path) -> None:
    one = entry(str(tmp_path / "a.png"))
    draw(tmp_path, one)
    write_page(tmp_path, [one], About(title="A"))
    check_page(tmp_path)
    mine = tmp_path / "page" / "previews" / "mine.jpg"
    mine.touch()
    remove_page(tmp_path)
    left = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"a.png", "mine.jpg"}
    remove_page(tmp_path)


def test_previews_of_no_row_go_once_no_more_are_to_come(tmp_path: Path) -> None:
    one, two = entry(str(tmp_path / "a.png")), entry(str(tmp_path / "b.png"))
    for drawn in (one, two):
        draw(tmp_path, drawn)
    write_page(tmp_path, [one], About(title="A", goes_on=True))
    assert len(list((tmp_path / PREVIEWS).iterdir())) == 4
    write_page(tmp_path, [one], About(title="A"))
    assert len(list((tmp_path / PREVIEWS).iterdir())) == 2


def test_a_page_takes_the_failed_and_the_highest_of_very_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "MOST_ROWS", 4)
    rows = [entry(f"{i}.png", i / 10) for i in (3, 9, 1, 5, 7)]
    write_page(tmp_path, [*rows[:2], failure("torn.png"), *rows[2:]], About(title="A"))
    text = (tmp_path / "page" / "rows.js").read_text()
    assert re.findall(r'"path":"([^"]+)"', text) == ["9.png", "torn.png", "5.png", "7.png"]
    assert "shown are 4 of 6 images" in text


def test_layers_lie_where_the_detector_looked() -> None:
    values = np.zeros((10, 10))
    values[2:4, 3:5] = 5.0
    transform = Transform(image_size=20, crop_size=10)
    text = layers_svg((40, 80), values, transform=transform, low=0.0, high=1.0, threshold=1.0)
    # The crop is the middle half of the photograph each way.
    assert 'viewBox="-5 -5 20 20"' in text
    assert "M3 2h2" in text
    assert 'class="contour"' in text
    assert 'class="truth"' not in text
    plain = layers_svg((40, 80), values * 0, transform=transform, low=0.0, high=1.0)
    assert "<path" not in plain


# In a browser


def test_odd_names_are_names(results: Path, opened: Callable[..., Any]) -> None:
    page = opened(results, asked="#sort=order")
    assert names_on(page)[: len(ODD)] == list(ODD)
    assert page.title() == "Images <b>"
    assert page.inner_text("#notes") == "a <i>note</i>"
    # Each opens, with the photograph itself, which has twice the pixels of its preview.
    page.click(".open >> nth=0")
    for name in ODD:
        assert name.replace("\n", " ") in page.inner_text("#one-name").replace("\u2028", "\u2028")
        page.locator("#one-picture .photograph[src*=photographs]").wait_for(state="attached")
        page.keyboard.press("ArrowRight")


def test_every_row_is_shown_and_found(results: Path, opened: Callable[..., Any]) -> None:
    page = opened(results)
    assert page.inner_text("#count") == "1 to 60 of 85 images"
    assert names_on(page)[0] == "069.png"  # the highest score
    page.keyboard.press("PageDown")
    assert page.inner_text("#count") == "61 to 85 of 85 images"
    assert names_on(page)[-3:] == ["raw\udcff.png", "torn-0.png", "torn-1.png"]
    assert "torn-1.png is empty" in page.inner_text(".card:last-child")
    page.fill("#search", "E%20F&g D?")
    assert names_on(page) == [ODD[2]]
    page.fill("#search", "nowhere")
    assert "No image matches" in page.inner_text("#count")
    page.fill("#search", "")
    page.uncheck("input[value=normal]", force=True)
    page.uncheck("input[value=unsure]", force=True)
    page.uncheck("input[value=failed]", force=True)
    states = page.eval_on_selector_all(".chip", "all => new Set(all.map(c => c.textContent)).size")
    assert states == 1
    # What is chosen outlasts the page.
    page.reload()
    page.wait_for_selector("main:not([hidden])")
    assert not page.is_checked("input[value=normal]")
    page.select_option("#sort", "low")
    scores = page.eval_on_selector_all(".numbers", "all => all.map(n => n.textContent)")
    assert scores == sorted(scores)


def test_keys_do_all_of_it(results: Path, opened: Callable[..., Any]) -> None:
    page = opened(results)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    name = page.evaluate("document.activeElement.closest('.card').row.path")
    page.keyboard.press("w")
    assert page.inner_text("#marks-count").startswith("1 marked: 1 good, 0 defective; 1 decision")
    page.keyboard.press("Enter")
    assert page.inner_text("#one-name") == name
    page.keyboard.press("ArrowRight")
    page.keyboard.press("d")
    page.keyboard.press("h")
    assert page.input_value("#one-blend") == "0"
    page.keyboard.press("h")
    page.keyboard.press("o")
    assert page.is_hidden("#one-picture .lines")
    page.keyboard.press("z")
    assert page.get_attribute("#one-zoom", "aria-pressed") == "true"
    page.keyboard.press("Escape")
    assert page.is_hidden("#one")
    assert page.evaluate("[...document.activeElement.closest('ul').children].indexOf("
                         "document.activeElement.closest('.card'))") == 2  # fmt: skip
    page.select_option("#marked", "wrong")
    assert len(names_on(page)) == 1
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "search"
    # Marks outlast the page.
    page.reload()
    page.wait_for_selector("#marks:not([hidden])")
    assert page.inner_text("#marks-count").startswith("2 marked")


def test_marks_are_saved_as_what_commands_take(
    results: Path, opened: Callable[..., Any], tmp_path: Path
) -> None:
    page = opened(results, asked="#sort=order", accept_downloads=True)
    for i in range(len(ODD)):
        page.click(f".card >> nth={i} >> [data-verdict={'defective' if i % 2 else 'good'}]")
    files = {}
    for button in ("defective", "wrong", "verdicts"):
        if button != "wrong":  # none of these was called anomalous, and six are not good
            with page.expect_download() as download:
                page.click(f"#save-{button}")
            files[button] = tmp_path / download.value.suggested_filename
            download.value.save_as(files[button])
    photographs = results.parent / "photographs"
    found = excluded(walk(photographs), [f"@{files['defective']}"])
    assert {path.name for path in found.files} == {n for n in ODD[1::2] if n != "\u2028.png"}
    assert "can't be in a list" in page.inner_text("#news")
    with files["verdicts"].open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [Path(row["path"]).name for row in rows] == list(ODD)
    assert rows[0]["verdict"] == "good"
    assert rows[1]["sha256"] == sha256(rows[1]["path"])
    manifest = Manifest(files["verdicts"])
    (category,) = manifest.categories
    labels = {s.path.name: s.label for s in manifest.category(category).test}
    assert labels.items() >= dict.fromkeys(ODD[1::2], True).items()


def test_what_was_evaluated_shows_wrong_decisions_first(
    evaluated: Path, opened: Callable[..., Any]
) -> None:
    page = opened(evaluated)
    assert names_on(page) == ["missed.png", "alarm.png", "hit.png", "unknown.png", "passed.png"]
    assert "✗ missed" in page.inner_text(".card >> nth=0")
    assert [
        " ".join(text.split()) for text in page.locator("#outcomes span").all_inner_texts()
    ] == [*("missed 1", "false alarms 1", "hits 1", "correctly passed 1")]
    page.select_option("#kind", "scratch")
    assert names_on(page) == ["missed.png", "hit.png"]


@pytest.mark.parametrize("width", WIDTHS)
def test_it_fits_every_screen_and_everyone_can_read_it(
    results: Path, opened: Callable[..., Any], axe: Callable[[Any], None], width: int
) -> None:
    page = opened(results, width)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.click(".card >> nth=0 >> [data-verdict=good]")
    axe(page)
    page.click(".open >> nth=0")
    assert page.evaluate("document.querySelector('#one').scrollWidth <= innerWidth")
    stack = page.locator("#one-picture .stack").bounding_box()
    assert stack["width"] / stack["height"] == pytest.approx(64 / 48, rel=0.02)
    axe(page)


def test_ten_thousand_images_stay_quick(tmp_path: Path, opened: Callable[..., Any]) -> None:
    some = [entry(str(tmp_path / f"{i}.png")) for i in range(4)]
    for one in some:
        draw(tmp_path, one)
    rng = np.random.default_rng(0)
    hashes = [one["sha256"] for one in some]
    rows = [
        entry(f"line/{i:05}.png", float(s), sha256=hashes[i % 4])
        for i, s in enumerate(rng.normal(0.6, 0.2, 10_000))
    ]
    write_page(tmp_path, rows, About(title="Many"))
    page = opened(tmp_path)
    assert page.inner_text("#count") == "1 to 60 of 10,000 images"
    assert page.locator(".card").count() == 60
    seconds = page.evaluate(
        """() => {
          const started = performance.now(), sort = document.querySelector("#sort");
          for (const order of ["low", "name", "near", "high"]) {
            sort.value = order;
            sort.dispatchEvent(new Event("change"));
          }
          return (performance.now() - started) / 4000;
        }"""
    )
    assert seconds < 1.0  # some 0.03 on a quiet machine
    page.fill("#search", "line/0999")
    assert page.inner_text("#count") == "1 to 10 of 10 that match, of 10,000 images"


def test_numbers_look_as_they_do_elsewhere(evaluated: Path, opened: Callable[..., Any]) -> None:
    page = opened(evaluated)
    numbers = [0.0, 1.0, 39.7231, 0.031254, 1234567.0, 1234.5678, 1.23456e-7, 0.00012, 99.996, -2.5]
    found = page.evaluate("all => all.map(v => anomalistRows.shown(v))", numbers)
    assert found == [shown(value) for value in numbers]
    pairs = [(41.1274, 41.1273), (41.1273, 41.1274), (1.0, 1.0), (0.1 + 0.2, 0.3)]
    found = page.evaluate("all => all.map(([v, b]) => anomalistRows.shown(v, b))", pairs)
    assert found == [shown(value, beside=other) for value, other in pairs]


def test_what_comes_later_appears(
    tmp_path: Path, opened: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "_SECONDS", 0.2)
    first, late = entry(str(tmp_path / "a.png")), entry(str(tmp_path / "b.png"), 2.0)
    # Of two rows of one file, the later is of what is there.
    again = entry(str(tmp_path / "a.png"), 0.7, sha256=sha256("again"))
    write_page(tmp_path, [first], About(title="A", goes_on=True))
    page = opened(tmp_path)
    page.focus(".open")
    write_page(tmp_path, [first, late, again], About(title="A"))
    page.wait_for_selector(".card:nth-child(3)")
    assert names_on(page) == ["b.png", "a.png", "a.png"]
    assert "2 new images" in page.inner_text("#news")
    assert "earlier content" in page.inner_text(".card >> nth=2")
    assert page.evaluate("document.activeElement.closest('.card').row.score") == 0.5


def test_without_its_folder_the_page_says_so(tmp_path: Path, browser: Any) -> None:
    write_page(tmp_path, [entry("a.png")], About(title="A"))
    (tmp_path / "page").rename(tmp_path / "elsewhere")
    context = browser.new_context()
    page = context.new_page()
    page.goto((tmp_path / "index.html").as_uri())
    assert "the folder page beside it" in page.inner_text("#missing")
    context.close()
