"""Writes the reference of the commands from the parsers themselves, so that it can't go stale."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterator
from typing import Any

MARK = "<!-- every command, from the parsers -->"


def on_page_markdown(markdown: str, **kwargs: Any) -> str:
    """Put the commands where a page has the mark."""
    return markdown.replace(MARK, "\n".join(reference())) if MARK in markdown else markdown


def reference() -> Iterator[str]:
    """Yield the lines: a section a command, and the hyperparameters of detectors once."""
    from anomalist.cli.hyperparameters import ALONE, SETTINGS
    from anomalist.cli.main import COMMANDS

    hyperparameters: dict[str, list[argparse.Action]] = {}
    told: list[tuple[str, str, Any]] = []
    for name, summary in COMMANDS.items():
        parser = importlib.import_module(f"anomalist.cli.{name}").parser()
        told.append((name, summary, parser))
        for word, other in parser.subcommands.items():
            told.append((f"{name} {word}", other.description.partition(": ")[2].rstrip("."), other))
    for name, summary, parser in told:
        own: list[argparse.Action] = []
        for group in parser._action_groups:
            actions = [a for a in group._group_actions if _told(a)]
            if SETTINGS in (group.title or ""):
                hyperparameters.setdefault(group.title or "", actions)
            else:
                own += actions
        needed = [a for a in own if a.required]
        usage = " ".join(["anomalist", name, *map(_usage, sorted(needed, key=_is_flag))])
        more = " [OPTIONS]" if len(needed) < len(own) else ""
        yield from (f"## {name}", "", f"{_capital(summary)}.", "")
        yield from ("```text", usage + more, "```", "")
        if own:
            yield from _table(own)
        if any(SETTINGS in (group.title or "") for group in parser._action_groups):
            yield from ("", "And [hyperparameters](#hyperparameters) as flags.")
        yield ""
    yield from ("## Hyperparameters", "")
    yield (
        "Of `fit`, `benchmark` and, for the detectors that it compares, `reproduce`. What all"
        " detectors share is also there for one alone, as `--patchcore.image_size`, and that one"
        " wins; so is `--preset`. What has a [name](#names) of its own has all flags of its"
        " detector. `--config FILE.yaml` reads all of them from a file:"
    )
    yield from ("", "```yaml", "image_size: 320", "patchcore:", "  coreset_ratio: 0.02", "```", "")
    for title, actions in hyperparameters.items():
        own = [a for a in actions if not (a.help or "").endswith(ALONE)]
        yield from (f"### {_capital(title)}", "", *_table(own), "")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _told(action: argparse.Action) -> bool:
    return action.help != argparse.SUPPRESS and not {
        "--help",
        "--help_all",
        "--print_config",
    } & set(action.option_strings)


def _is_flag(action: argparse.Action) -> bool:
    return bool(action.option_strings)


def _usage(action: argparse.Action) -> str:
    value = action.dest.upper() + ("..." if action.nargs == "+" else "")
    return f"{action.option_strings[0]} {value}" if action.option_strings else value


def _table(actions: list[argparse.Action]) -> Iterator[str]:
    yield from ("| argument | what it is |", "|---|---|")
    for action in actions:
        name = action.option_strings[0] if action.option_strings else action.dest.upper()
        text = " ".join((action.help or "").split())
        default = action.default
        told = default is None or default == [] or default == argparse.SUPPRESS or action.nargs == 0
        if not told and "default:" not in text:
            shown = ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
            text += f" (default: {shown})"
        text = text.replace("|", r"\|").replace("<", "&lt;").replace("*", r"\*")
        yield f"| `{name}` | {text} |"
