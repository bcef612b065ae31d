"""The ``anomalist`` command: finds the subcommand, and turns failures into one clear line."""

# Little is loaded before signals are listened to: in the interpreter's own first moment a Ctrl-C
# still shows a traceback, of which no program is asked.
from __future__ import annotations

import os
import sys

try:
    import anomalist
    from anomalist.cli.commands import COMMANDS, EXAMPLES, PURPOSES
    from anomalist.cli.stops import Stopped, Stops, exit_code
    from anomalist.errors import AnomalistError, is_out_of_memory
    from anomalist.origins import CACHE_GB, named
except KeyboardInterrupt:
    sys.stderr.write("anomalist: error: stopped\n")
    raise SystemExit(130) from None

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from anomalist.cli.output import Output

#: What every exit code means.
EXIT_CODES = {
    0: "done",
    1: "failed",
    2: "misused",
    3: "done but for some files",
    129: "stopped, as the terminal closed",
    130: "stopped by Ctrl-C",
    141: "nobody reads on",
    143: "stopped by the system",
}
_STOPPED = "stopped"
_EVERYWHERE = ("--debug", "--json", "--quiet")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code, one of `EXIT_CODES`.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments, without the program's name; those of the process by default. Then signals
        that ask the process to stop are listened to as well.

    Examples
    --------
    >>> main(["--version"])
    anomalist ...
    0
    """
    if argv is not None:
        return _Call(list(argv)).run()
    call = _Call(sys.argv[1:])
    call.stops.listen()
    try:
        code = call.run()
    except SystemExit as stop:  # as --help ends
        code = stop.code if isinstance(stop.code, int) else 1
    call.stops.finish(code)
    return code


class _Call:
    """One run of the command line, from its arguments to its exit code."""

    def __init__(self, arguments: list[str]) -> None:
        ours = arguments[: arguments.index("--")] if "--" in arguments else arguments
        self.debug = "--debug" in ours
        self.json = "--json" in ours
        rest = [a for a in ours if a != "--debug"] + arguments[len(ours) :]
        # What every command takes may come before its name too.
        before = 0
        while before < len(rest) and rest[before] in _EVERYWHERE:
            before += 1
        before = min(before, max(len(rest) - 1, 0))
        self.arguments = rest[before : before + 1] + rest[:before] + rest[before + 1 :]
        if self.arguments[:1] == ["help"]:  # as programs with subcommands have it
            words = [a for a in self.arguments if a != "help" and not a.startswith("-")]
            self.arguments = [*words, "--help"]
        self.name = self.arguments[0] if self.arguments else "--help"
        self.stops = Stops(self._end_at_once)
        self.output: Output | None = None
        #: Whether what is found, or what went wrong, is being told.
        self.told = False

    def run(self) -> int:
        """Do what is asked and return the exit code."""
        _mend_streams(utf8=self.json)
        if self.name in ("--version", "-V"):
            return self._tell(f"anomalist {anomalist.__version__}")
        if self.name in _EVERYWHERE:
            return self._fail(f"no command is named; the commands are {', '.join(COMMANDS)}", 2)
        if self.name in ("-h", "--help"):
            return self._tell(_help()) if self.arguments else self._tell(_help()) or 2
        try:
            os.getcwd()  # noqa: PTH109 - libraries that load later end the process without it
        except OSError:
            return self._fail("the current folder is gone: change to one that is there", 1)
        if self.name not in COMMANDS and self.name.partition("=")[0] != "--print_completion":
            from anomalist.cli.meant import meant_by

            hint = meant_by(self.name, self.arguments[1:])
            known = (
                f"{hint.rstrip('; ')} (anomalist --help)"
                if hint
                else f"there are {', '.join(COMMANDS)}"
            )
            return self._fail(f"no command {self.name!r}; {known}", 2)
        if "" in self.arguments:
            return self._fail("an argument is empty: is a variable of the shell not set?", 2)
        try:
            return self._command() if self.name in COMMANDS else self._print_completion()
        except (Exception, KeyboardInterrupt) as error:
            return self._failed(error)

    def _tell(self, text: str) -> int:
        from anomalist.cli.output import write

        try:
            write(f"{text}\n")
        except OSError as error:
            return self._failed(error)
        return 0

    def _command(self) -> int:
        import importlib
        import shlex

        from anomalist.cli.output import Output, write

        command = importlib.import_module(f"anomalist.cli.{self.name}")
        parser = command.parser()
        parser.prog = f"anomalist {self.name}"
        try:
            parsed = parser.parse_args(self.arguments[1:])
        except SystemExit:  # as --help ends
            write("")
            raise
        parsed["command_line"] = shlex.join(["anomalist", *self.arguments])
        self.json = parsed.json
        self.output = Output(json=parsed.json, quiet=parsed.quiet)
        if parsed.get("cache_gb") is not None:
            if not parsed.cache_gb > 0:
                text = f"--cache_gb must be a number above 0, not {parsed.cache_gb:g}"
                raise AnomalistError(text)
            os.environ[CACHE_GB] = str(parsed.cache_gb)  # which processes of this one have, too
        self.stops.work()
        code = command.run(parsed, self.output) or 0
        self._telling()
        self.output.close(self.name, code)
        return code

    def _telling(self) -> None:
        self.told = True
        self.stops.rest()

    def _print_completion(self) -> int:
        from anomalist.cli.completion import completion

        shell = " ".join(self.arguments).removeprefix("--print_completion").lstrip(" =")
        return self._tell(completion(shell, COMMANDS))

    def _failed(self, error: BaseException) -> int:
        """Tell of a failure in a line and return the exit code."""
        self._telling()
        if isinstance(error, BrokenPipeError):  # the reader has gone, as | head has
            _drop_what_nobody_reads()
            return 141
        stop = self._stop_in(error)
        if self.debug and stop is not error:
            import traceback

            traceback.print_exception(error)
        if stop is not None:
            code = exit_code(stop.number) if isinstance(stop, Stopped) else 130
            notes = getattr(stop, "__notes__", ())
            return self._fail("; ".join([_STOPPED, *notes]), code, "Stopped")
        from argparse import ArgumentError

        kind = type(error).__name__
        if isinstance(error, ArgumentError):
            from anomalist.cli.values import one_line

            command = f"anomalist {self.name}" if self.name in COMMANDS else "anomalist"
            return self._fail(f"{one_line(error)} ({command} --help)", 2, kind)
        if isinstance(error, AnomalistError | OSError):
            return self._fail(_describe(error), 1, kind)
        if is_out_of_memory(error):
            return self._fail(_out_of_memory(error), 1, kind)
        text = f"{_describe(error)} - a bug; please report it with what --debug prints"
        return self._fail(text, 1, kind)

    def _stop_in(self, error: BaseException) -> BaseException | None:
        """Return the stop that an error is or comes from: where modules load, one may become one.

        A failure of what is done after a stop, such as to write, is told as what it is.
        """
        told = isinstance(error, AnomalistError | OSError)
        if told and not isinstance(error.__cause__, ImportError):
            return None
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, KeyboardInterrupt):
            cause = cause.__cause__ or cause.__context__
        if cause is None and self.stops.asked is not None and not told:
            return Stopped(self.stops.asked)
        return cause

    def _fail(self, message: str, code: int, kind: str = "ArgumentError") -> int:
        from anomalist.cli.output import Output, printable

        self._telling()
        lines = (line.strip() for line in message.splitlines())
        text = printable(" ".join(line for line in lines if line))
        try:
            print(f"anomalist: error: {text}", file=sys.stderr, flush=True)
            if self.json:
                output = self.output or Output(json=True)
                known = self.name if self.name in COMMANDS else None
                output.close(known, code, {"kind": kind, "message": text})
        except OSError:  # the exit code still tells
            pass
        _drop_what_nobody_reads()
        return code

    def _end_at_once(self, code: int) -> None:
        """Tell of a stop in the midst of anything, with nothing but the system's own calls."""
        line = f"anomalist: error: {_STOPPED}\n"
        fields = (
            f'{{"command": "{self.name}", "error": {{"kind": "Stopped", "message":'
            f' "{_STOPPED}"}}, "warnings": [], "exit_code": {code}}}\n'
        )
        try:
            os.write(2, line.encode())
            if self.json and self.name in COMMANDS and not self.told:
                os.write(1, fields.encode())
        except OSError:  # nobody reads it
            pass


def _mend_streams(utf8: bool) -> None:
    """Make what is printed always go somewhere, whatever was started with."""
    import io

    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            # Or the next file that is opened would be taken for it.
            os.open(os.devnull, os.O_RDWR)
        if number and getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Names of files may hold what the terminal's encoding lacks.
            stream.reconfigure(errors="backslashreplace")
    if utf8 and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")


def _drop_what_nobody_reads() -> None:
    """Give up what can't be written: the interpreter would try again when it ends."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _describe(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        file = named(f"{error.filename}: ") if error.filename else ""
        return f"{file}{error.strerror}"
    if isinstance(error, AnomalistError):
        return str(error)
    return f"{type(error).__name__}: {error}"


def _out_of_memory(error: BaseException) -> str:
    """Say what was asked for, without torch's advice for programmers, and what to lower."""
    first_line = (str(error).splitlines() or [""])[0]
    asked = ". ".join(first_line.split(". ")[:2]).rstrip(".") or "no more could be had"
    return (
        f"out of memory: {asked}; lower --batch_size, --image_size or --coreset_ratio (of the fit,"
        " where a model is used), or choose --device cpu"
    )


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines: list[str] = []
    for purpose, commands in PURPOSES.items():
        lines += [f"{purpose}:", *(f"  {name:<{width}}  {text}" for name, text in commands.items())]
    return "\n".join(
        [
            "anomalist finds defects in images after seeing only good ones.",
            "",
            "usage: anomalist COMMAND [ARGUMENTS] [--json] [--quiet] [--debug]",
            "",
            *(f"  {EXAMPLES[name][0]}" for name in ("fit", "predict")),
            "",
            *lines,
            "",
            "anomalist COMMAND --help tells a command's arguments; --json prints one JSON object,",
            "--quiet results, warnings and errors alone; --debug shows tracebacks; --version, or",
            "-V, the version; --print_completion bash, zsh or fish prints a script with which",
            "that shell completes commands and flags.",
            "",
            "exit codes:",
            *(f"  {code:<{width}}  {text}" for code, text in EXIT_CODES.items()),
        ]
    )
