"""Docstrings name other objects by Sphinx roles; the site links them by its own means."""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:class|func|meth):`(~?)([\w.]+)`")


class Roles(griffe.Extension):
    """Turns ``:func:`~anomalist.load``` into a link that mkdocstrings resolves."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Rewrite the docstring of an object."""
        if obj.docstring is not None:
            obj.docstring.value = _ROLE.sub(self._link, obj.docstring.value)

    @staticmethod
    def _link(role: re.Match[str]) -> str:
        short, target = role.groups()
        text = target.rsplit(".", 1)[-1] if short else target
        return f"[`{text}`][{target}]" if target.startswith("anomalist.") else f"`{text}`"
