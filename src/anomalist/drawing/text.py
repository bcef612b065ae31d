"""Text on pictures, in a font that has its letters."""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from anomalist.drawing.lines import BLACK, WHITE

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

LINE = 18
"""Height of a line of text in pixels."""
_TEXT = 13
_SYSTEM_FONTS = (
    *("DejaVuSans.ttf", "LiberationSans-Regular.ttf", "NotoSans-Regular.ttf"),
    *("Arial Unicode.ttf", "Arial.ttf", "segoeui.ttf", "Helvetica.ttc"),
)


def plain_font() -> Font:
    """The font that Pillow carries: the same everywhere, but for ASCII alone."""
    return ImageFont.load_default(_TEXT)


@functools.cache
def _system_font() -> Font | None:
    """A font of the system that has more letters, where there is one."""
    for name in _SYSTEM_FONTS:
        try:
            return ImageFont.truetype(name, _TEXT)
        except OSError:
            continue
    return None


def drawable(text: str) -> tuple[str, Font]:
    """A text as it can be drawn, and with which font.

    Letters that the font lacks stand without their accent, and others as escapes.
    """
    text = unicodedata.normalize("NFC", text)
    font = plain_font() if text.isascii() else _system_font() or plain_font()
    missing = _look(font, "\U0010ffff")

    def drawn(letter: str) -> str:
        if letter.isprintable() and (letter.isascii() or _look(font, letter) != missing):
            return letter
        base = unicodedata.normalize("NFD", letter)[0]
        return base if base.isascii() and base.isalpha() else ascii(letter)[1:-1]

    return "".join(map(drawn, text)), font


def _look(font: Font, letter: str) -> tuple[tuple[int, int], bytes]:
    mask = font.getmask(letter)
    return mask.size, bytes(mask)


def captions(
    lines: Sequence[str], width: int, ground: tuple[int, int, int] | None = None
) -> Image.Image:
    """Lines of text, each cut in its middle to fit the width; white, where a ground is given."""
    picture = Image.new("RGB", (width, LINE * len(lines)), ground or "white")
    draw = ImageDraw.Draw(picture)
    for row, line in enumerate(lines):
        text, font = drawable(line)
        cut, kept = text, len(text)
        while kept and font.getlength(cut) > width - 4:
            kept -= 1
            cut = f"{text[: (kept + 1) // 2]}...{text[len(text) - kept // 2 :]}"
        draw.text((2, row * LINE + 1), cut, fill=BLACK if ground is None else WHITE, font=font)
    return picture


def paragraph(text: str, width: int) -> Image.Image:
    """A text in as many lines as the width asks for."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".lstrip()
        _, font = drawable(longer)
        if lines[-1] and font.getlength(longer) > width - 4:
            lines.append(word)
        else:
            lines[-1] = longer
    return captions(lines, width)
