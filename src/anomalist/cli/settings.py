"""A file of settings, checked before anything is made of it."""

from __future__ import annotations

import argparse
from pathlib import Path

import yaml


def check_settings(path: str) -> None:
    r"""Refuse a file that holds no settings by name, or one of them twice.

    A file that can't be opened is left to whoever opens it.

    Parameters
    ----------
    path : str
        A YAML file.

    Raises
    ------
    ArgumentError
        If it is no text in UTF-8, no YAML, or holds something else.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "a.yaml"
    >>> _ = file.write_text("seed: 1\nseed: 2\n")
    >>> check_settings(str(file))
    Traceback (most recent call last):
    ...
    argparse.ArgumentError: .../a.yaml: seed is there twice, in lines 1 and 2
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        root = yaml.compose(text, yaml.SafeLoader)
        if not isinstance(root, yaml.MappingNode):
            what = "is empty" if root is None else "holds something else"
            raise _refused(path, f"it must hold settings by name, as in seed: 3, and {what}")
        _check(root, path, set())
        yaml.safe_load(text)
    except OSError:
        return
    except UnicodeDecodeError as error:
        raise _refused(path, f"it isn't text in UTF-8, from byte {error.start} on") from error
    except RecursionError as error:
        raise _refused(path, "it is nested too deep") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = "" if mark is None else f" in line {mark.line + 1}, column {mark.column + 1}"
        raise _refused(path, f"it is no YAML: {error.problem}{where}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise _refused(path, f"it is no YAML: {error}") from error


def _check(node: yaml.Node, path: str, above: set[int]) -> None:
    if id(node) in above:
        raise _refused(path, f"what begins in line {node.start_mark.line + 1} holds itself")
    inside = above | {id(node)}
    if isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if isinstance(key, yaml.ScalarNode):
                if key.value in lines:
                    where = f"in lines {lines[key.value]} and {line}"
                    raise _refused(path, f"{key.value} is there twice, {where}")
                lines[key.value] = line
            _check(value, path, inside)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _check(value, path, inside)


def _refused(path: str, why: str) -> argparse.ArgumentError:
    return argparse.ArgumentError(None, f"{path}: {why}")
