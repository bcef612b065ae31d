"""The connection to Ray, for as long as a block lasts."""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import anomalist
from anomalist.errors import ClusterError

#: Seconds in which something must answer at an address.
ANSWER_SECONDS = 5.0
#: Seconds in which each node must say which anomalist it has: a worker starts in a few.
NODE_SECONDS = 120.0
_CLIENT = "ray://"
_NAMED = 3


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """Connect to Ray; what was connected before is used, and stays.

    Every node that work can go to is asked first which anomalist it has: one with another version
    would give other results, or fail in the middle.

    Parameters
    ----------
    address : str
        ``local`` starts Ray on this machine for the time of the block; ``auto`` finds the cluster
        that this machine belongs to, or that ``RAY_ADDRESS`` names; ``HOST:PORT`` or
        ``ray://HOST:PORT`` names one.

    Yields
    ------
    module
        ``ray``.

    Raises
    ------
    ClusterError
        If Ray isn't installed, nothing answers at the address, or a node lacks this version of
        anomalist.

    Examples
    --------
    >>> with connected("local") as ray:  # doctest: +SKIP
    ...     ray.get(ray.remote(lambda: 2).remote())
    2
    """
    try:
        import ray
    except ImportError as error:
        raise ClusterError(
            "--ray takes Ray, which isn't installed: pip install 'anomalist[cluster]'"
        ) from error
    if ray.is_initialized():
        _check_nodes(ray)
        yield ray
        return
    if address == "auto":
        address = _found()
    if address != "local":
        _check_answers(address)
    with _quiet():
        try:
            with _handlers_kept():
                _start(ray, address)
            _check_nodes(ray)
            yield ray
        finally:
            ray.shutdown()


def _start(ray: Any, address: str) -> None:
    """Connect, or start Ray here, without a word on the terminal."""
    options: dict[str, Any] = {"log_to_driver": False}
    if address.startswith(_CLIENT):
        logging.getLogger("ray").setLevel(logging.ERROR)  # no option says so there
        _show_token()
    else:
        options["logging_level"] = logging.ERROR
    if address == "local":
        options["include_dashboard"] = False
    try:
        ray.init(address=address, **options)
    except Exception as error:  # of many kinds, by what is wrong
        raise ClusterError(_told(address, error)) from error


def _show_token() -> None:
    """Let a client of a cluster show the token that is there, as Ray does for others."""
    with suppress(ImportError):  # Ray knows none yet
        from ray._private.authentication import authentication_token_setup as setup

        setup.maybe_enable_token_auth_if_token_available(warn_if_disabled=False)


def through_client() -> bool:
    """Tell whether the connection is by ``ray://``, which not all of Ray goes through."""
    from ray.util.client import ray as client

    return bool(client.is_connected())  # type: ignore[no-untyped-call]


def _told(address: str, error: Exception) -> str:
    """Say why there is no connection."""
    text = " ".join(str(error).split())
    if address == "local":
        return f"Ray doesn't start on this machine: {text}"
    if "timeout" in text and address.startswith(_CLIENT):  # so it calls being refused, too
        text += (
            "; if the cluster wants a token, put that of its head's ~/.ray/auth_token into the"
            " same file here"
        )
    return f"no connection to Ray at {address}: {text}"


def _found() -> str:
    """Return the address of the cluster that ``auto`` stands for."""
    from ray._private import services  # what ray.init itself asks; nothing public does

    if address := os.environ.get("RAY_ADDRESS", ""):
        return address
    try:
        return str(services.canonicalize_bootstrap_address("auto"))
    except ConnectionError as error:
        raise ClusterError(
            "no Ray cluster runs on this machine: start one with ray start --head, name one as"
            " --ray HOST:PORT, or let --ray local start one for this command"
        ) from error


def _check_answers(address: str) -> None:
    """Refuse an address where nothing answers: Ray itself would try for minutes."""
    place = address.removeprefix(_CLIENT).partition("/")[0].partition("?")[0]
    host, _, port = place.rpartition(":")
    if not host or not port.isdecimal() or "://" in place:
        raise ClusterError(
            f"{address!r} is no address of a Ray cluster: local, auto, HOST:PORT or ray://HOST:PORT"
        )
    what = f"no Ray cluster answers at {address}"
    try:
        with socket.create_connection((host.strip("[]"), int(port)), ANSWER_SECONDS):
            pass
    except (OSError, OverflowError, UnicodeError) as error:
        raise ClusterError(f"{what}: {error}; is it up, and is the port open?") from error
    if os.environ.get("RAY_USE_TLS", "0") != "0":
        return  # Ray has the certificates
    import grpc

    channel = grpc.insecure_channel(place)
    try:
        grpc.channel_ready_future(channel).result(timeout=ANSWER_SECONDS)
    except grpc.FutureTimeoutError:
        raise ClusterError(f"{what}: something else does, or Ray hangs there") from None
    finally:
        channel.close()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what Ray's own processes say off standard output, where results go.

    That a node is lost, for one, is printed there with the last lines of its log, whatever
    ``log_to_driver`` is.
    """
    from ray._private import worker  # the switch that Ray's debugger turns; nothing public does

    before = worker._worker_logs_enabled
    worker._worker_logs_enabled = False
    try:
        yield
    finally:
        worker._worker_logs_enabled = before


@contextmanager
def _handlers_kept() -> Iterator[None]:
    """Give back the handling of SIGTERM, which Ray takes over: a stop is told in our own way."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        with suppress(ValueError, TypeError):  # another thread than the first, or another's handler
            signal.signal(signal.SIGTERM, before)


def _check_nodes(ray: Any) -> None:
    """Refuse a cluster of which a node that works can't do what this process would."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    nodes = _working(ray)
    if not nodes:
        raise ClusterError("no node of the Ray cluster has a processor to give: add a worker node")
    ask = ray.remote(num_cpus=0, max_retries=0)(_question())
    answers = {
        key: ask.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(key, soft=False)
        ).remote()
        for key in nodes
    }
    ready, _ = ray.wait([*answers.values()], num_returns=len(answers), timeout=NODE_SECONDS)
    wrong = {
        key: found
        for key, answer in answers.items()
        if (found := _wrong(ray, answer if answer in ready else None)) is not None
    }
    if not wrong:
        return
    there = _working(ray)  # a node that was lost in the meantime is no fault of the others
    told = [f"{nodes[key]}: {found}" for key, found in wrong.items() if key in there]
    if told:
        more = f" and {len(told) - _NAMED} more" if len(told) > _NAMED else ""
        raise ClusterError(
            f"every node must have anomalist {anomalist.__version__}, as this machine has; but on"
            f" {'; '.join(told[:_NAMED])}{more}: pip install"
            f" 'anomalist[cluster]=={anomalist.__version__}' there"
        )


def _working(ray: Any) -> dict[str, str]:
    """Return the nodes that work can go to, and what people call each.

    A head that only directs has no processors to give.
    """
    return {
        node["NodeID"]: f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
        for node in ray.nodes()
        if node["Alive"] and node["Resources"].get("CPU", 0) > 0
    }


def _wrong(ray: Any, answer: Any) -> str | None:
    """Return what is wrong with a node by what it answered; None where it is as it must be."""
    from ray.exceptions import RayError

    if answer is None:
        return f"no worker answers within {NODE_SECONDS:.0f} s"
    try:
        version, python = ray.get(answer)
    except RayError as error:  # its last line says what; those before, where
        return (str(error).strip().splitlines() or [type(error).__name__])[-1]
    if version == anomalist.__version__:
        return None
    return f"Python {python} has {'no anomalist' if version is None else version}"


def _question() -> Callable[[], tuple[str | None, str]]:
    """Return a function that travels as code: by name, a node without anomalist knows none."""

    def which() -> tuple[str | None, str]:
        import platform

        try:
            import anomalist
        except ImportError:
            return None, platform.python_version()
        return anomalist.__version__, platform.python_version()

    return which
