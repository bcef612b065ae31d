"""What every answer says to browsers."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders

# Scripts, styles and requests only from here and none inline; no frames, no forms to elsewhere.
# Pictures may also be made in the page, as a photograph that is about to be sent.
_POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none';"
    " form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), geolocation=(), microphone=()",
    # What is answered is for who asked; a route that says more has thought of it.
    "Cache-Control": "no-store",
}


def add_headers(headers: MutableHeaders, request_id: str, *, static: bool = False) -> None:
    """Add what an answer doesn't say by itself; a static file may be kept, and asked for anew."""
    if static:
        headers.setdefault("Cache-Control", "no-cache")
    for name, value in _HEADERS.items():
        headers.setdefault(name, value)
    headers["X-Request-Id"] = request_id
