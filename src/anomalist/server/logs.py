"""What the server says of itself while it runs: a line a request or event, on standard error."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import IO, Literal, get_args

Form = Literal["text", "json"]
# That uvicorn starts and stops is told by the command itself; that a client sends no form, to it.
_LEVELS = {
    "": logging.WARNING,
    "anomalist": logging.INFO,
    "uvicorn": logging.WARNING,
    "python_multipart": logging.CRITICAL,
}
# What a record of Python's has by itself; all else was said by who logs it, but for what libraries
# that make records of their own (Ray) note for themselves, with an underscore.
_OWN = {*vars(logging.makeLogRecord({})), "message", "asctime", "color_message"}


@contextmanager
def logging_as(form: Form, stream: IO[str] | None = None) -> Iterator[None]:
    """Have the server's log written while the block runs.

    Parameters
    ----------
    form : {"text", "json"}
        A sentence a line for people, or an object a line for programs.
    stream : file, optional
        Where to; by default standard error.
    """
    if form not in get_args(Form):
        raise ValueError(form)
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(AsJSON() if form == "json" else AsText())
    loggers = {logging.getLogger(name): level for name, level in _LEVELS.items()}
    before = {logger: logger.level for logger in loggers}
    root = logging.getLogger()
    root.addHandler(handler)
    for logger, level in loggers.items():
        logger.setLevel(level)
    try:
        yield
    finally:
        for logger, level in before.items():
            logger.setLevel(level)
        root.removeHandler(handler)


class AsJSON(logging.Formatter):
    """A record as a line of JSON.

    Examples
    --------
    >>> record = logging.makeLogRecord(
    ...     {"name": "anomalist.server", "levelname": "INFO", "msg": "stopped", "seconds": 2}
    ... )
    >>> sorted(json.loads(AsJSON().format(record)))
    ['at', 'level', 'logger', 'message', 'seconds']
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        fields = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **{k: v for k, v in vars(record).items() if k not in _OWN and not k.startswith("_")},
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps(fields, default=str)


class AsText(logging.Formatter):
    """A record as a sentence; what came in a request can't begin a line of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        at = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
        message = record.getMessage().encode("unicode_escape").decode()
        seconds, by = getattr(record, "seconds", None), getattr(record, "by", None)
        if seconds is not None:
            message += f" in {1000 * seconds:.0f} ms"
        if by is not None:
            message += f" for {by}"
        text = (
            f"{at} {message}"
            if record.levelno < logging.WARNING
            else (f"{at} {record.levelname.lower()}: {message}")
        )
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text
