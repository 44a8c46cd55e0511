"""What every answer of ours tells a browser, once for all routes."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from flask import Flask

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

# Our own style, script and images, and nothing from anywhere else; a page that needs more sets its own policy.
CONTENT_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": CONTENT_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex, nofollow",
}
HSTS = "max-age=31536000"  # a year; without includeSubDomains: the domain's other hosts are not ours


def secure(app: Flask, *, https: bool) -> None:
    """Set the headers on every answer of `app`, errors included. `https`: whether PUBLIC_URL is https.

    A view that sets one of them itself keeps its own (static files may be kept by the browser, pages may not).
    """
    wanted = {**HEADERS, "Strict-Transport-Security": HSTS} if https else HEADERS
    headers = [(name, value, name.lower()) for name, value in wanted.items()]
    inner = app.wsgi_app

    def secured(environ: "WSGIEnvironment", start: "StartResponse") -> "Iterable[bytes]":
        def begin(status: str, given: list[tuple[str, str]], *error: Any) -> Any:
            present = {name.lower() for name, _ in given}
            return start(
                status, [*given, *((name, value) for name, value, low in headers if low not in present)], *error
            )

        return inner(environ, begin)

    app.wsgi_app = secured  # type: ignore[method-assign, assignment]  # Flask's own seam, docs: "Hooking in WSGI Middleware"
