"""Model files: a JSON header and safetensors in one file, of which nothing is taken on trust."""

from anomalist.models.file import FORMAT, content_digest, read_model, sign, write_model
from anomalist.models.header import (
    SUMMARY,
    below,
    checked_summary,
    expect,
    saved_calibration,
    saved_reference,
    take_below,
)
from anomalist.models.layout import Layout, array_state, check_state, conforms

__all__ = [
    "FORMAT",
    "SUMMARY",
    "Layout",
    "array_state",
    "below",
    "check_state",
    "checked_summary",
    "conforms",
    "content_digest",
    "expect",
    "read_model",
    "saved_calibration",
    "saved_reference",
    "sign",
    "take_below",
    "write_model",
]
