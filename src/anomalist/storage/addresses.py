"""What is an address of an object storage, and what is a path."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote

from anomalist.errors import StorageError

# One letter before the colon is a drive of Windows.
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
# What a query carries that lets its bearer in: signed links of S3, Google and Azure, and tokens.
_SECRET = re.compile(
    r"[?&](x-(amz|goog)-(signature|credential|security-token)|awsaccesskeyid|signature|sig|"
    r"(access_|auth_)?token|(api_?|access_?|account_?|secret_?)?key|secret|password)=",
    re.IGNORECASE,
)
# Where a name before "@" is a container's or an account's, not a person's with a password.
_NAMED = ("abfs", "abfss", "wasb", "wasbs", "sftp", "ssh", "ftp", "hdfs", "smb")


def is_address(entry: str | os.PathLike[str]) -> bool:
    r"""Tell whether an argument names a place by a scheme, rather than a path on this machine.

    Parameters
    ----------
    entry : str or path
        As it was given.

    Examples
    --------
    >>> is_address("s3://bucket/parts"), is_address("parts/a.png"), is_address(r"C:\parts")
    (True, False, False)
    """
    return isinstance(entry, str) and _SCHEME.match(entry) is not None


def split_address(address: str) -> tuple[str, str]:
    """Return the scheme of an address, in small letters, and what follows ``://``.

    Parameters
    ----------
    address : str
        As it was given. It names a place only: who may go there, the environment says.

    Returns
    -------
    tuple of str
        ``(scheme, rest)``; slashes at the end of the rest are gone.

    Raises
    ------
    StorageError
        If it is no address, names no place, or carries a password, a key or a token, which would
        end up in records and logs. The message doesn't repeat it.

    Examples
    --------
    >>> split_address("S3://bucket/parts/")
    ('s3', 'bucket/parts')
    >>> split_address("s3://me:hidden@bucket/parts")
    Traceback (most recent call last):
    ...
    anomalist.errors.StorageError: an address must carry no user, password, key or token: ...
    """
    if not is_address(address):
        raise StorageError(f"{address} is no address: one begins with a scheme, as s3://bucket")
    scheme, _, rest = address.partition("://")
    scheme = scheme.lower()
    user, at, _ = rest.split("/", 1)[0].rpartition("@")
    # Only a link has a query, but whoever writes one after another scheme means it the same way.
    if (at and (":" in unquote(user) or scheme not in _NAMED)) or _SECRET.search(rest):
        raise StorageError(
            "an address must carry no user, password, key or token: write it without, and put "
            "them into the environment or the provider's own file (for s3 AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or ~/.aws/credentials)"
        )
    if not rest.strip("/"):
        raise StorageError(f"{address} names no place: write {scheme}://BUCKET/FOLDER")
    return scheme, rest.rstrip("/")


def on_disk(entry: str | os.PathLike[str]) -> Path:
    """Return a file of this machine: the path itself, or the copy of the object at an address.

    Parameters
    ----------
    entry : str or path
        A path, or the address of one object.

    Raises
    ------
    ObjectNotFoundError
        If nothing is at the address.
    StorageError
        If the storage doesn't answer or refuses.

    Examples
    --------
    >>> on_disk("bottle.anomalist").name
    'bottle.anomalist'
    """
    if not is_address(entry):
        return Path(entry)
    from anomalist.storage.copies import is_place, open_copy
    from anomalist.storage.mirroring import mirrored

    path = mirrored(str(entry))
    if is_place(path) and not path.is_dir():
        open_copy(path).close()
    return path
