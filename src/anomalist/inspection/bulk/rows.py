"""Rows of predictions in columns: the schema of a part, and a part as a file of Parquet."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from anomalist.calibration.reference import NAMES
from anomalist.errors import ResultsError

#: A row an object: what a line of ``predictions.jsonl`` has, and of what object it is.
ROWS = pa.schema(
    [
        ("path", pa.string()),
        ("score", pa.float64()),
        ("threshold", pa.float64()),
        ("p_value", pa.float64()),
        ("decision", pa.string()),
        (
            "regions",
            pa.list_(
                pa.struct(
                    [("box", pa.list_(pa.int32())), ("area", pa.int64()), ("peak", pa.float64())]
                )
            ),
        ),
        ("disagreement", pa.float64()),
        ("heatmap", pa.string()),
        ("error", pa.string()),
        ("sha256", pa.string()),
        ("model", pa.string()),
        ("notes", pa.list_(pa.string())),
        ("looks", pa.struct([(name, pa.float64()) for name in NAMES])),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("size", pa.int64()),
        ("version", pa.string()),
    ]
)
_SAID = b"anomalist"


def part_file(rows: Sequence[dict[str, Any]], said: dict[str, Any]) -> bytes:
    """Return the bytes of a part.

    Parameters
    ----------
    rows : sequence of dict
        As `ROWS` has them; what is missing is null.
    said : dict
        What the part says of itself, as JSON values.

    Examples
    --------
    >>> data = part_file([{"path": "a.png", "score": 1.5}], {"digest": "0a"})
    >>> rows, said = read_part(data, "part")
    >>> rows.column("score").to_pylist(), said
    ([1.5], {'digest': '0a'})
    """
    table = pa.Table.from_pylist(list(rows), schema=ROWS)
    sink = pa.BufferOutputStream()
    table = table.replace_schema_metadata({_SAID: json.dumps(said).encode()})
    pq.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue())


def read_part(data: bytes, name: str) -> tuple[pa.Table, dict[str, Any]]:
    """Return the rows of a part, and what it says of itself.

    Raises
    ------
    ResultsError
        If it is damaged, or none of ours.
    """
    try:
        table = pq.read_table(pa.BufferReader(data))
        said = json.loads((table.schema.metadata or {})[_SAID])
        return table.replace_schema_metadata(None).cast(ROWS), said
    except (pa.ArrowException, ValueError, KeyError, OSError) as error:
        raise ResultsError(
            f"{name} is damaged, or no part of predictions: delete it, and the same command makes"
            " it again"
        ) from error


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of a part with what it doesn't tell left out of its looks.

    Examples
    --------
    >>> plain({"path": "a.png", "looks": {"brightness": 9.0, "tilt": None}})["looks"]
    {'brightness': 9.0}
    """
    looks = row.get("looks")
    if looks is None:
        return row
    return {**row, "looks": {name: value for name, value in looks.items() if value is not None}}
