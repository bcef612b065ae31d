"""``anomalist serve MODELS``: inspect over HTTP, with a page, remembering every decision."""

from __future__ import annotations

import dataclasses
import typing
from typing import TYPE_CHECKING, Any

from jsonargparse import Namespace

from anomalist.cli import tokens
from anomalist.cli.output import Output
from anomalist.cli.parsing import CommandParser, command_parser
from anomalist.cli.signatures import Parameter, signature_of
from anomalist.errors import ServerError
from anomalist.server.settings import ServerSettings

if TYPE_CHECKING:
    from anomalist.server.service import Service


def parser() -> CommandParser:
    """Return the parser of the command's arguments."""
    arguments = command_parser(__doc__ or "")
    arguments.subcommands["tokens"] = tokens.parser()
    for parameter in signature_of(ServerSettings).parameters.values():
        _add(arguments, parameter)
    return arguments


def _add(arguments: CommandParser, parameter: Parameter) -> None:
    """Add a setting: one without a default is an argument, a tuple is a flag to repeat."""
    if parameter.default is dataclasses.MISSING:
        arguments.add_argument(parameter.name, type=str, help=parameter.text)
        return
    hint: Any = parameter.hint
    more: dict[str, Any] = {"default": parameter.default}
    if typing.get_origin(hint) is tuple:
        hint = typing.get_args(hint)[0]
        more = {"default": [], "action": "append"}
    elif str in typing.get_args(hint):  # or a path, or None
        hint = str
    # Options of servers are often written with a dash.
    spelled = dict.fromkeys([parameter.name, parameter.name.replace("_", "-")])
    arguments.add_argument(
        *(f"--{name}" for name in spelled), type=hint, help=parameter.text, **more
    )


def settings_of(arguments: Namespace) -> ServerSettings:
    """Return the settings that the arguments say."""
    given: dict[str, Any] = {}
    for field in dataclasses.fields(ServerSettings):
        value = arguments[field.name]
        given[field.name] = tuple(value) if isinstance(value, list) else value
    return ServerSettings(**given)


def run(arguments: Namespace, output: Output) -> None:
    """Run the command."""
    if arguments.get("subcommand") == "tokens":
        return tokens.run(arguments, output)
    try:
        from anomalist.server.listening import serve
    except ImportError as error:
        raise extra_missing(error) from error

    settings = settings_of(arguments)
    address = ""

    def ready(service: Service, at: str) -> None:
        nonlocal address
        address = at
        answering = service.registry.all_answering()
        for one in answering:
            output.note(f"{one.name}: version {one.number}; {one.rule.describe()}")
        for name, fault in service.registry.faults().items():
            output.warn(f"{name}: {fault}")
        if not service.tokens.exist():
            output.note("there are no tokens: whoever works on this machine may do everything")
        output.line({"address": at, "models": [one.name for one in answering]})
        output.result(f"anomalist answers at {at} (Ctrl-C stops it)")

    serve(settings, ready=ready)
    output.note("stopped: what was accepted is answered and kept")
    output.fields |= {"address": address, "state": settings.folder}


def extra_missing(error: ImportError) -> ServerError:
    """Return what to say where packages of the server aren't there."""
    return ServerError(f"the server takes more packages: pip install 'anomalist[server]' ({error})")
