"""What went wrong with a storage, in a sentence, from whichever package found it."""

from __future__ import annotations

import os
import re

from anomalist.errors import ObjectNotFoundError, StorageError

# Which package knows the way, of those that fsspec knows the name of.
PACKAGES = {
    "s3": "s3fs",
    "s3a": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "az": "adlfs",
    "abfs": "adlfs",
    "abfss": "adlfs",
    "hf": "huggingface_hub",
    "http": "aiohttp",
    "https": "aiohttp",
    "sftp": "paramiko",
    "ssh": "paramiko",
}
_CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or AWS_PROFILE, or FSSPEC_S3_ANON=true for "
    "a public bucket",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, or FSSPEC_GS_TOKEN=anon for a public bucket",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
    "hf": "HF_TOKEN",
}
_SAME = {"s3a": "s3", "gcs": "gs", "abfs": "az", "abfss": "az"}
_UNANSWERED = (
    "EndpointConnectionError",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "ConnectionClosedError",
    "HTTPClientError",
    "ClientConnectorError",
    "ServerDisconnectedError",
    "ClientPayloadError",
    "ServiceRequestError",
)
_ASKED = re.compile(r"(KEY|SECRET|TOKEN|PASSWORD|CONNECTION_STRING|CREDENTIAL)", re.IGNORECASE)


def fault(error: BaseException, address: str, scheme: str) -> StorageError:
    """Return the error for people of what a storage's package raised.

    Parameters
    ----------
    error : exception
        As it was caught.
    address : str
        Of the object or the folder.
    scheme : str
        Of the address.

    Returns
    -------
    StorageError
        :class:`~anomalist.errors.ObjectNotFoundError` where there is no such object. No message
        has a credential in it.

    Examples
    --------
    >>> fault(FileNotFoundError("a"), "s3://bucket/a", "s3")
    ObjectNotFoundError("s3://bucket/a isn't there")
    >>> fault(PermissionError("Forbidden"), "s3://bucket/a", "s3")
    StorageError('s3://bucket/a: access is refused (Forbidden): check what the credentials ...')
    """
    if isinstance(error, StorageError):
        return error
    names = {kind.__name__ for kind in type(error).__mro__}
    text, status = _text(error), getattr(error, "status", None)
    means = _CREDENTIALS.get(_SAME.get(scheme, scheme), "them")
    if names & {"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound"} or (
        "DefaultCredentialsError" in names
    ):
        return StorageError(
            f"{address}: there are no credentials for {scheme} in the environment "
            f"({text}): set {means}"
        )
    if "bucket does not exist" in text or "NoSuchBucket" in text:
        return StorageError(f"{address}: there is no such bucket: check its name, and the account")
    if "Invalid bucket name" in text:
        return StorageError(f"{address}: that can't be the name of a bucket: check the address")
    if isinstance(error, PermissionError) or status in (401, 403) or "Forbidden" in names:
        return StorageError(
            f"{address}: access is refused ({text}): check what the credentials in the environment "
            f"allow ({means})"
        )
    if isinstance(error, FileNotFoundError) or status == 404:
        return ObjectNotFoundError(f"{address} isn't there")
    if isinstance(error, ImportError):
        package = PACKAGES.get(scheme, f"a package for {scheme}")
        return StorageError(
            f"{address} takes {package}, which isn't installed: pip install {package} ({text})"
        )
    if isinstance(error, (TimeoutError, ConnectionError)) or names & set(_UNANSWERED):
        return StorageError(
            f"{address}: the storage doesn't answer ({text}): check the address, the network"
            + (" and AWS_ENDPOINT_URL" if scheme in ("s3", "s3a") else "")
        )
    return StorageError(f"{address}: {text}")


def _text(error: BaseException) -> str:
    """Return what an error says in a line of moderate length, or else its name; no secrets."""
    text = " ".join(str(error).split()) or type(error).__name__
    for name, value in os.environ.items():
        if _ASKED.search(name) and len(value) >= 6:
            text = text.replace(value, "***")
    return text if len(text) <= 300 else text[:297] + "..."
