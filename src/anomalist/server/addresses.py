"""Where photographs come from and decisions go to, as settings write it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Literal, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from anomalist.errors import ParameterError

#: The variable of the environment that a broker's password is read from.
PASSWORD = "ANOMALIST_MQTT_PASSWORD"
_PORTS = {"mqtt": 1883, "mqtts": 8883}
_OPTIONS = ("ca", "cert", "key", "client")

Which = Literal["all", "notable"]


@dataclass(frozen=True)
class Place:
    """Where photographs come from, and what inspects them.

    Parameters
    ----------
    camera : str
        What inspections call it.
    model : str or None
        None for the only one.
    address : str
        A folder, a device, an address.
    """

    camera: str
    model: str | None
    address: str

    @classmethod
    def parse(cls, text: str, flag: str) -> Self:
        """Read ``CAMERA=ADDRESS`` or ``CAMERA@MODEL=ADDRESS``.

        Raises
        ------
        ParameterError
            If it is neither.

        Examples
        --------
        >>> Place.parse("top@bottle=/photographs/top", "watch")
        Place(camera='top', model='bottle', address='/photographs/top')
        """
        name, equals, address = text.partition("=")
        camera, at, model = name.partition("@")
        if not equals or not camera or not address or (at and not model):
            raise ParameterError(
                f"--{flag} takes CAMERA=ADDRESS or CAMERA@MODEL=ADDRESS, not {text!r}"
            )
        if len(camera) > 200:
            raise ParameterError(f"--{flag}: a camera's name has at most 200 characters")
        return cls(camera, model or None, address)


@dataclass(frozen=True)
class Broker:
    """Where messages come from and go to.

    Parameters
    ----------
    host : str
        The machine.
    port : int
        1883, or 8883 where messages are encrypted.
    prefix : str
        What topics begin with.
    encrypted : bool
        Whether by TLS.
    user, password : str or None
        As whom.
    options : dict of str to str
        ``ca``, ``cert`` and ``key``: files of the certificate that signs the broker's, and of one's
        own; ``client``: by which name the broker knows the server.
    """

    host: str
    port: int
    prefix: str
    encrypted: bool
    user: str | None
    password: str | None = field(repr=False)
    options: dict[str, str]

    @classmethod
    def parse(cls, url: str) -> Broker:
        """Read ``mqtt://USER@HOST:PORT/PREFIX``, or ``mqtts://`` for TLS.

        Raises
        ------
        ParameterError
            If it is none.

        Examples
        --------
        >>> broker = Broker.parse("mqtts://line@broker.local/factory/line1?ca=ca.pem")
        >>> broker.port, broker.prefix, broker.options
        (8883, 'factory/line1', {'ca': 'ca.pem'})
        """
        shown = "mqtt://USER@HOST:PORT/PREFIX, or mqtts:// for TLS"
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise ParameterError(f"--mqtt takes {shown}; the port is none") from None
        options = dict(parse_qsl(parts.query))
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ParameterError(f"--mqtt takes {shown}")
        if unknown := options.keys() - set(_OPTIONS):
            raise ParameterError(
                f"--mqtt takes {', '.join(_OPTIONS)} after the ?, not {', '.join(sorted(unknown))}"
            )
        prefix = unquote(parts.path).strip("/") or "anomalist"
        if set(prefix) & set("+#\0"):
            raise ParameterError(f"--mqtt: topics can't begin with {prefix!r}")
        password = unquote(parts.password) if parts.password else os.environ.get(PASSWORD)
        return cls(
            host=parts.hostname,
            port=port or _PORTS[parts.scheme],
            prefix=prefix,
            encrypted=parts.scheme == "mqtts",
            user=unquote(parts.username) if parts.username else None,
            password=password,
            options=options,
        )


def web_server(url: str) -> str:
    """Return the server of a webhook's address, for people: without what may be secret.

    Raises
    ------
    ParameterError
        If it is no address.

    Examples
    --------
    >>> web_server("https://mes.local/hook?secret=1")
    'https://mes.local'
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ParameterError(f"--webhook takes http:// or https://, not {url!r}")
    return f"{parts.scheme}://{parts.hostname}"
