"""What every answer of ours tells a browser, once for all routes."""

from flask import Flask, Response

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
    headers = list(({**HEADERS, "Strict-Transport-Security": HSTS} if https else HEADERS).items())

    @app.after_request
    def add(response: Response) -> Response:
        present = {name.lower() for name, _ in response.headers}
        response.headers.extend([header for header in headers if header[0].lower() not in present])
        return response
