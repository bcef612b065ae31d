"""Manifests as rows: CSV, JSON and JSON lines by whatever names their columns have."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anomalist.data.names import cleaned, encoding_of
from anomalist.errors import DataError

#: Suffixes of files that may be manifests.
SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".manifest", ".json", ".txt")

# By what a column says: the names that it has, the likeliest first. Case, blanks and hyphens don't
# matter.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "image": (
        *("image", "image_path", "source_ref", "filename", "file_name", "filepath", "file_path"),
        *("img_path", "img", "image_file", "image_name", "image_uri", "path", "file", "uri", "url"),
    ),
    "label": (
        *("label", "label_index", "is_anomaly", "is_anomalous", "anomaly", "anomalous", "target"),
        *("defective", "is_defective", "is_defect", "status", "result", "verdict", "judgement"),
        *("quality", "class", "class_name", "y"),
    ),
    "good": ("good", "is_good", "ok", "is_ok", "normal", "is_normal", "passed"),
    "kind": (
        *("defect", "defect_type", "defect_class", "defect_name", "kind", "anomaly_class"),
        *("anomaly_type", "label_name", "specie_name"),
    ),
    "mask": (
        *("mask", "mask_path", "maskname", "mask_name", "mask_file", "ground_truth"),
        *("ground_truth_path", "gt", "gt_path", "segmentation", "mask_uri"),
    ),
    "split": ("split", "set", "subset", "phase", "partition", "usage"),
    "group": (
        *("group", "part", "part_id", "part_number", "serial", "serial_number", "scene", "run"),
        *("burst", "sample_id", "specimen", "workpiece"),
    ),
    "category": ("category", "object", "product", "clsname", "cls_name", "item"),
}
_DELIMITERS = ",;\t|"
_LARGEST = 1_000_000_000
_BACKGROUND = "background"


@dataclass(frozen=True, slots=True)
class Row:
    """What a manifest says of one image, as it is written there; empty where it says nothing.

    Parameters
    ----------
    line : int
        Where it stands, from 1 on: a line, or a place in a list.
    image, label, good, kind, mask, split, group, category : str
        As `COLUMNS` has them: ``good`` is a label that says the opposite.
    """

    line: int
    image: str
    label: str = ""
    good: str = ""
    kind: str = ""
    mask: str = ""
    split: str = ""
    group: str = ""
    category: str = ""


def read_rows(file: Path) -> list[Row]:
    """Read a manifest.

    Parameters
    ----------
    file : Path
        CSV with a line of names of columns, separated by commas, semicolons, tabs or bars; JSON
        lines, such as Lookout for Vision's; or JSON: a list of objects, or lists of them by split
        and category.

    Raises
    ------
    DataError
        If it can't be read, or has no column of images, or none that says which are good.
    """
    rows = list(_rows(file))
    if not rows:
        raise DataError(f"{file} is a manifest without an image")
    return rows


class _NotAManifestError(DataError):
    """A file says nothing of images."""


def is_manifest(file: Path) -> bool:
    """Say whether a file says something of images, whole or damaged, as its beginning tells."""
    try:
        next(_rows(file), None)
    except _NotAManifestError:
        return False
    except DataError:
        return True  # what is wrong with it is told by those who read it
    return True


def _rows(file: Path) -> Iterator[Row]:
    try:
        if file.stat().st_size > _LARGEST:
            raise DataError(f"{file} can't be a manifest: it is too large")
        data = file.read_bytes()
        text = data.decode(encoding_of(data), "surrogateescape").lstrip("\ufeff")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file} can't be read: {error}") from error
    if "\0" in text:
        raise DataError(f"{file} can't be read: it isn't a text file")
    yield from _json(file, text) if text.lstrip()[:1] in ("{", "[") else _csv(file, text)


def _csv(file: Path, text: str) -> Iterator[Row]:
    first = text.lstrip("\r\n").partition("\n")[0]
    # The one that parts off a column of images.
    delimiter = max(_DELIMITERS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    columns: dict[str, int] | None = None
    try:
        for values in reader:
            if not any(values):
                continue
            if columns is None:
                columns = {what: values.index(n) for what, n in _columns(file, values).items()}
                continue
            found = {
                what: cleaned(values[place])
                for what, place in columns.items()
                if place < len(values)
            }
            yield _row(file, reader.line_num, found)
    except csv.Error as error:
        raise DataError(f"{file}, line {reader.line_num}: {error}") from error


def _columns(file: Path, names: list[str]) -> dict[str, str]:
    """Which of the names of columns says what."""
    plain: dict[str, str] = {}
    for name in names:
        plain.setdefault(_plain(name), name)
    found = {
        what: next((plain[alias] for alias in aliases if alias in plain), None)
        for what, aliases in COLUMNS.items()
    }
    there = {what: name for what, name in found.items() if name is not None}
    shown = ", ".join(repr(cleaned(name)) for name in names[:12])
    if "image" not in there:
        raise _NotAManifestError(
            f"{file} has no column of images, such as 'image' or 'path': it has {shown}"
        )
    if not {"label", "good", "kind"} & set(there):
        raise DataError(
            f"{file} has no column that says which images are good, such as 'label': it has {shown}"
        )
    return there


def _plain(name: str) -> str:
    return re.sub(r"[\s\-.]+", "_", cleaned(name)).casefold()


def _row(file: Path, line: int, found: Mapping[str, str]) -> Row:
    if not found.get("image"):
        raise DataError(f"{file}, line {line}: it names no image")
    return Row(line, **found)


def _json(file: Path, text: str) -> Iterator[Row]:
    for line, entry, said in _entries(file, text):
        if not isinstance(entry, dict):
            raise _NotAManifestError(f"{file}, line {line}: it isn't a JSON object")
        values = {str(key): value for key, value in entry.items()}
        found = _lookout(values) or {
            what: _text(values[name]) for what, name in _columns(file, list(values)).items()
        }
        yield _row(file, line, {**said, **{what: text for what, text in found.items() if text}})


def _entries(file: Path, text: str) -> Iterator[tuple[int, Any, dict[str, str]]]:
    """Objects with their place, and what the lists around them say."""
    lines = [(n, line) for n, line in enumerate(text.splitlines(), 1) if line.strip()]
    if len(lines) == 1 or text.lstrip()[0] == "[" or not lines[0][1].rstrip().endswith("}"):
        try:
            whole = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{file} can't be read: {error}") from error
        yield from ((n, entry, said) for n, (entry, said) in enumerate(_flat(whole), 1))
        return
    for number, line in lines:
        try:
            yield number, json.loads(line), {}
        except (ValueError, RecursionError) as error:
            raise DataError(f"{file}, line {number}: {error}") from error


def _flat(whole: Any) -> Iterator[tuple[Any, dict[str, str]]]:
    """Objects of a list, or of lists by split, or by split and category."""
    if isinstance(whole, list):
        yield from ((entry, {}) for entry in whole)
    elif isinstance(whole, dict) and any(isinstance(v, list | dict) for v in whole.values()):
        if _is_entry(whole):
            yield whole, {}
            return
        for split, within in whole.items():
            if isinstance(within, list):
                yield from ((entry, {"split": str(split)}) for entry in within)
            elif isinstance(within, dict):
                for category, entries in within.items():
                    if isinstance(entries, list):
                        said = {"split": str(split), "category": str(category)}
                        yield from ((entry, said) for entry in entries)
    else:
        yield whole, {}


def _is_entry(values: Mapping[str, Any]) -> bool:
    return any(_plain(key) in COLUMNS["image"] for key in values)


def _text(value: Any) -> str:
    if value is None or isinstance(value, dict | list):
        return ""
    return cleaned(str(value))


def _lookout(values: Mapping[str, Any]) -> dict[str, str] | None:
    """Read a line as Amazon Lookout for Vision and SageMaker Ground Truth write it.

    The attribute of labels has any name, beside which ``NAME-metadata`` tells the class, and that
    of masks ends in ``-ref``.
    """
    if "source-ref" not in values:
        return None
    found = {"image": _text(values["source-ref"])}
    for name, value in values.items():
        told = values.get(f"{name}-metadata")
        if name == "source-ref" or not isinstance(told, dict):
            continue
        if name.endswith("-ref"):
            found["mask"] = _text(value)
            if kind := _one_kind(told.get("internal-color-map")):
                found["kind"] = kind
        elif "class-name" in told:
            found["label"] = _text(told["class-name"])
        else:
            found.setdefault("label", _text(value))
    return found


def _one_kind(colours: Any) -> str:
    """The kind of defect of a mask in colours, where there is a single one."""
    if not isinstance(colours, dict):
        return ""
    names = {_text(c.get("class-name")) for c in colours.values() if isinstance(c, dict)}
    kinds = [name for name in names if name and name.casefold() != _BACKGROUND]
    return kinds[0] if len(kinds) == 1 else ""
