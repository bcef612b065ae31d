"""A service on a port: bound before models load, stopped when all that was accepted is answered."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import uvicorn

from anomalist.errors import ParameterError, ServerError
from anomalist.server.app import create_app
from anomalist.server.logs import logging_as
from anomalist.server.service import Service
from anomalist.server.settings import ServerSettings

#: What asks a server to stop; Windows lacks one.
STOPS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
# What is still asked then, as by a client that sends a byte a second, is cut off.
_PATIENCE_S = 30
# A line that sends a part now and then finds its connection as it left it.
_IDLE_S = 75
_BACKLOG = 1024


def serve(settings: ServerSettings, *, ready: Callable[[Service, str], None] | None = None) -> None:
    """Run a server until the process is asked to stop (SIGINT, SIGTERM or SIGHUP).

    Parameters
    ----------
    settings : ServerSettings
        How it runs.
    ready : callable, optional
        Called with the service and its address once it is about to answer.

    Raises
    ------
    ParameterError
        If others could reach it and there is no token, or a setting makes no sense.
    ServerError
        If the port is taken, or the database can't be used.
    ResultsError
        If another server uses the folder.
    ModelFileError, WeightsError
        If all models are damaged.
    """
    with logging_as(settings.logs), bound(settings) as listener:
        service = Service(settings).start()
        try:
            check_tokens(service)
            server = _Server(service, settings)
            if ready is not None:
                ready(service, address_of(listener))
            server.run(sockets=[listener])
        finally:
            service.stop()


def check_tokens(service: Service) -> None:
    """Refuse to let others in who needn't say who they are.

    Raises
    ------
    ParameterError
        If the server listens to more than its own machine, and there is no token.
    """
    if service.settings.is_local or service.tokens.exist():
        return
    raise ParameterError(
        f"at {service.settings.host} others could do everything here, for there are no tokens:"
        " anomalist serve tokens make NAME --role admin makes one (with the same --state and"
        " --database)"
    )


@contextlib.contextmanager
def bound(settings: ServerSettings) -> Iterator[socket.socket]:
    """Take the port, before anything that lasts.

    Raises
    ------
    ServerError
        If it can't be had.
    """
    host, port = settings.host, settings.port
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ServerError(f"there is no address {host!r} to listen at ({error})") from None
    # By a name such as localhost, the older kind of address is what clients try without fail.
    family, kind, protocol, _, address = min(found, key=lambda entry: entry[0])
    with socket.socket(family, kind, protocol) as listener:
        if os.name != "nt":  # where it would let two servers have one port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(_BACKLOG)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise ServerError(
                f"port {port} of {host} can't be had: {reason}; choose another with --port"
            ) from None
        yield listener


def address_of(listener: socket.socket) -> str:
    """Return the address that a browser takes."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Server(uvicorn.Server):
    """Told to stop, it takes no more, lets the service know, and answers what it has taken."""

    def __init__(self, service: Service, settings: ServerSettings) -> None:
        super().__init__(
            uvicorn.Config(
                create_app(service),
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=_PATIENCE_S,
                timeout_keep_alive=_IDLE_S,
            )
        )
        self._service = service

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Listen to signals that weren't ignored, as those of ``nohup`` are."""
        before: dict[int, Any] = {}
        for number in STOPS:
            if signal.getsignal(number) != signal.SIG_IGN:
                before[number] = signal.signal(number, self.handle_exit)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop; asked again, without waiting for who is still being answered."""
        self.force_exit = self.should_exit
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more, and answer what was taken."""
        self._service.stopping.set()
        await super().shutdown(sockets)
