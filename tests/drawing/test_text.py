from __future__ import annotations

import pytest

from anomalist.drawing import text


def test_captions_show_letters_beyond_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    drawable = text.drawable
    assert drawable("plain.png")[0] == "plain.png"
    assert drawable("a\nb.png")[0] == "a\\nb.png"
    assert drawable("r\udce9.png")[0] == "r\\udce9.png"
    # Without a font of the system, letters lose their accent and others are escaped.
    monkeypatch.setattr(text, "_SYSTEM_FONTS", ())
    text._system_font.cache_clear()
    assert drawable("Sch\u00fcssel-\u00e9.png")[0] == "Schussel-e.png"
    assert drawable("u\u0308.png")[0] == "u.png"
    assert drawable("\u6f22.png")[0] == "\\u6f22.png"
    monkeypatch.undo()
    text._system_font.cache_clear()


def test_captions_with_a_font_of_the_system() -> None:
    if text._system_font() is None:
        pytest.skip("the system has no font")
    for name in ("Sch\u00fcssel.png", "Schu\u0308ssel.png"):
        shown, font = text.drawable(name)
        assert shown == "Sch\u00fcssel.png"
        assert bytes(font.getmask("\u00fc")) != bytes(font.getmask("u"))
        assert bytes(font.getmask("\u00fc")) != bytes(font.getmask("\U0010ffff"))
