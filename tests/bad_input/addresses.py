"""Addresses that lead nowhere, or that say too much."""

from __future__ import annotations

from tests.bad_input.case import Case

_SECRET = (
    "anomalist: error: an address must carry no user, password, key or token: write it without,"
    " and put them into the environment or the provider's own file (...)"
)


def fit(what: str, flags: str, answer: str, code: int) -> Case:
    return Case(what, f"fit patchcore --out new.anomalist {flags}", answer, code)


CASES = [
    fit(
        "an address with a password, which isn't repeated",
        "--data s3://me:password@bucket/parts",
        _SECRET,
        1,
    ),
    fit(
        "a signed link, whose signature isn't repeated",
        "--data 'https://host/parts?X-Amz-Signature=0123'",
        _SECRET,
        1,
    ),
    fit(
        "an address without a bucket",
        "--data s3://",
        "anomalist: error: s3:// names no place: write s3://BUCKET/FOLDER",
        1,
    ),
    fit(
        "a scheme that nobody knows",
        "--data plant://bucket/parts",
        "anomalist: error: plant://bucket/parts: nothing is known of plant://: use s3://, gs://,"
        " az://, https:// or hf://datasets/",
        1,
    ),
    fit(
        "a folder that isn't in the storage",
        "--data memory://bucket/parts",
        "anomalist: error: memory://bucket/parts: there is nothing: check the address",
        1,
    ),
    fit(
        "a server that doesn't answer",
        "--data http://127.0.0.1:9/parts",
        "anomalist: error: http://127.0.0.1:9/...: the storage doesn't answer (...): check the"
        " address, the network",
        1,
    ),
    Case(
        "a benchmark at an address that leads nowhere",
        "benchmark memory://bucket/parts --out results",
        "anomalist: error: memory://bucket/parts: there is nothing: check the address",
        1,
    ),
    Case(
        "a model measured at an address with a key",
        "evaluate model.anomalist s3://id:key@bucket/parts --out out",
        _SECRET,
        1,
    ),
    fit(
        "a limit of the cache that makes no sense",
        "--data memory://bucket/parts --cache_gb 0",
        "anomalist: error: --cache_gb must be a number above 0, not 0",
        1,
    ),
]
