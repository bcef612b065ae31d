"""Servers that can't start, and tokens that can't be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.bad_input.case import Case, content

_STATE = ("anomalist-server*",)


def serve(
    what: str, rest: str, answer: str, code: int = 1, make: Callable[[Path], object] | None = None
) -> Case:
    return Case(what, f"serve {rest}", f"anomalist: error: {answer}", code, make, leaves=_STATE)


CASES = [
    serve(
        "no models named",
        "",
        "serve needs MODELS, as in: anomalist serve models (anomalist serve --help)",
        2,
    ),
    serve(
        "a folder of models that isn't there",
        "models",
        "models holds no model: anomalist fit DETECTOR --data FOLDER --out NAME.anomalist writes"
        " one",
    ),
    serve(
        "a folder of photographs instead of models",
        "photos",
        "photos holds no model: anomalist fit DETECTOR --data FOLDER --out NAME.anomalist writes"
        " one",
    ),
    serve(
        "a model that is none",
        "models",
        "models/part.anomalist is a text file, no model file of anomalist: name a model file that"
        " anomalist fit wrote",
        1,
        content("models/part.anomalist", "no model"),
    ),
    serve(
        "a model whose name is too long",
        "models",
        "models/xxx... can't give its model a name: that is 1 to 200 characters that can be read",
        1,
        content(f"models/{'x' * 201}.anomalist", "no model"),
    ),
    serve(
        "an address that others reach, with no tokens",
        "model.anomalist --host 0.0.0.0 --port 0",
        "at 0.0.0.0 others could do everything here, for there are no tokens: anomalist serve"
        " tokens make NAME --role admin makes one (with the same --state and --database)",
    ),
    serve(
        "a host that is none",
        "model.anomalist --host 'no host'",
        "there is no address 'no host' to listen at (...)",
    ),
    serve(
        "a port that is none",
        "model.anomalist --port 70000",
        "port must be from 0 to 65535, not 70000",
    ),
    serve(
        "days to keep that are none",
        "model.anomalist --keep-days 0",
        "keep_days must be above 0, not 0.0",
    ),
    serve(
        "a flag that is misspelt",
        "model.anomalist --keep_day 3",
        "unrecognized arguments: --keep_day 3; did you mean --keep_days? (anomalist serve --help)",
        2,
    ),
    serve(
        "a database of another kind",
        "model.anomalist --port 0 --database mysql://there/parts",
        "mysql://there/parts is no database that can be used: give sqlite:///FILE or"
        " postgresql+psycopg://USER:PASSWORD@HOST/NAME (...)",
    ),
    serve(
        "a database that doesn't answer",
        "model.anomalist --port 0 --database postgresql+psycopg://me:secret@127.0.0.1:1/parts",
        "postgresql+psycopg://me:***@127.0.0.1:1/parts can't be used: connection failed: ...",
    ),
    serve(
        "a file that is no database",
        "model.anomalist --port 0 --database sqlite:///parts.db",
        "sqlite:///parts.db is damaged: file is not a database",
        1,
        content("parts.db", "no database" * 1000),
    ),
    serve(
        "a state that is a file",
        "model.anomalist --port 0 --state taken",
        "taken/photographs: Not a directory",
        1,
        content("taken", "kept"),
    ),
    serve(
        "a token without a name",
        "tokens make --role admin",
        "make and revoke take the NAME of a token, and list takes none",
    ),
    serve(
        "a token of a role that isn't",
        "tokens make anna --role boss",
        "--role: expected one of 'inspect', 'review', 'admin'. Got value: boss (anomalist serve"
        " --help)",
        2,
    ),
    serve(
        "a token that ends before it begins",
        "tokens make anna --days -1",
        "days must be above 0 and below 36500, not -1.0",
    ),
    serve(
        "a token that isn't there",
        "tokens revoke anna",
        "there is no token named 'anna'",
    ),
]
