"""How the stand-ins that speak HTTP are served: on a free port of this machine, for this machine only."""

import contextlib
import threading
from collections.abc import Iterator

from flask import Flask, abort, request
from werkzeug.serving import WSGIRequestHandler, make_server

ADDRESS = "127.0.0.1"
NAMES = frozenset({ADDRESS, "localhost"})


@contextlib.contextmanager
def served(app: Flask, name: str) -> Iterator[str]:
    """Serve `app` from a thread of this name; its address. Raises OSError."""
    app.before_request(_only_this_machine)
    server = make_server(ADDRESS, 0, app, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name=name)
    thread.start()
    try:
        yield f"http://{ADDRESS}:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _only_this_machine() -> None:
    """A page from elsewhere must not speak to it through this machine's browser (DNS rebinding)."""
    if request.host.rpartition(":")[0] not in NAMES:
        abort(403)


class _Quiet(WSGIRequestHandler):
    """One request a connection, and no line in the log: it would hold telephone numbers, codes and tokens."""

    protocol_version = "HTTP/1.0"

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 - werkzeug's name
        """Nothing."""
