"""Where a request came from, as our own reverse proxy saw it. Only a proxy that the operator names is believed.

Behind one, every visitor has its address: they would share one limit, and one of them could use it up for all.
"""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING

from flask import Flask

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


def behind(app: Flask, proxies: Sequence[IPv4Network | IPv6Network]) -> None:
    """Give every request of `app` the address of its visitor. Scheme and host stay ours: PUBLIC_URL says them."""
    inner = app.wsgi_app

    def seen(environ: "WSGIEnvironment", start: "StartResponse") -> "Iterable[bytes]":
        peer, told = environ.get("REMOTE_ADDR", ""), environ.get("HTTP_X_FORWARDED_FOR", "")
        environ["REMOTE_ADDR"] = visitor(peer, told, proxies)
        return inner(environ, start)

    app.wsgi_app = seen  # type: ignore[method-assign, assignment]  # Flask's own seam, docs: "Hooking in WSGI Middleware"


def visitor(peer: str, told: str, proxies: Sequence[IPv4Network | IPv6Network]) -> str:
    """The last address that is none of our proxies', read from the end: what stands before it anybody may have written.

    What is no address ends it, too: then it is the proxy that told so, whose visitors share one limit.
    """
    last = peer
    for hop in reversed(told.split(",")):
        at, before = _read(last), hop.strip()
        if at is None or not any(at in network for network in proxies) or _read(before) is None:
            break
        last = before
    return last


def _read(word: str) -> IPv4Address | IPv6Address | None:
    try:
        read = ip_address(word)
    except ValueError:
        return None
    return read.ipv4_mapped or read if isinstance(read, IPv6Address) else read
