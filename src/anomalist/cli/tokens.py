"""``anomalist serve tokens make|list|revoke``: who may use a server, and for what."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from jsonargparse import Namespace

from anomalist.cli.output import Output
from anomalist.cli.parsing import CommandParser, command_parser
from anomalist.errors import ParameterError, ServerError
from anomalist.server.settings import ServerSettings


def parser() -> CommandParser:
    """Return the parser of the command's arguments."""
    arguments = command_parser(__doc__ or "")
    arguments.add_argument(
        "action",
        type=Literal["make", "list", "revoke"],
        help="make one, which is printed this once; list them; or revoke one, from this moment on",
    )
    arguments.add_argument("name", type=str, nargs="?", help="of the person or the machine")
    arguments.add_argument(
        "--role",
        type=Literal["inspect", "review", "admin"],
        default="inspect",
        help="inspect asks for decisions and sees its own; review sees all and gives verdicts;"
        " admin refits, promotes and changes settings",
    )
    arguments.add_argument(
        "--days", type=float, default=None, help="how long it is good for (default: until revoked)"
    )
    arguments.add_argument(
        "--state",
        type=str,
        default=str(ServerSettings.state),
        help="the folder that the server keeps",
    )
    arguments.add_argument(
        "--database", type=str, default=None, help="the address that the server is given, if any"
    )
    return arguments


def run(arguments: Namespace, output: Output) -> None:
    """Run the command."""
    try:
        from anomalist.server.database import Database
        from anomalist.server.database.tables import now
        from anomalist.server.principals import Tokens
    except ImportError as error:
        raise ServerError(
            f"the server takes more packages: pip install 'anomalist[server]' ({error})"
        ) from error

    action, name = arguments.action, arguments.name
    if (name is None) != (action == "list"):
        raise ParameterError("make and revoke take the NAME of a token, and list takes none")
    settings = ServerSettings(models="", state=arguments.state, database=arguments.database)
    settings.folder.mkdir(parents=True, exist_ok=True)
    database = Database(settings.database_url)
    try:
        database.upgrade()
        known = Tokens(database)
        if action == "make":
            days = arguments.days
            if days is not None and not 0 < days < 36_500:
                raise ParameterError(f"days must be above 0 and below 36500, not {days}")
            expires = None if days is None else now() + timedelta(days=days)
            token = known.make(name, arguments.role, expires=expires)
            output.note(f"a token of {name}, who may {arguments.role}; it is shown this once:")
            output.result(token)
            output.fields |= {"name": name, "role": arguments.role, "token": token}
        elif action == "revoke":
            known.revoke(name)
            output.result(f"{name} is revoked")
            output.fields |= {"name": name}
        else:
            rows = known.list()
            for row in rows:
                output.result(
                    f"{row['name']}: {row['role']}, {row['state']}, made {row['created'][:10]}"
                )
            if not rows:
                output.note("there are no tokens: anomalist serve tokens make NAME --role admin")
            output.fields |= {"tokens": rows}
    finally:
        database.close()
