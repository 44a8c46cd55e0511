"""The unavoidable of live tests in flight: threads, each with a TLS socket on one shared context, that wait.

`python -m tests.bench.floors.threads COUNT PORT HOST...`; the authority is in SSL_CERT_FILE. The first one starts at
once, the others at SIGUSR1.
"""

from __future__ import annotations

import os
import signal
import socket
import ssl
import sys
import threading


def main(count: int, port: int, hosts: list[str]) -> None:
    """Hang until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda _number, _frame: os._exit(0))
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    context = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])

    def hang(host: str) -> None:
        with socket.create_connection((host, port)) as plain, context.wrap_socket(plain, server_hostname=host) as line:
            line.recv(1)

    for number in range(count):
        threading.Thread(target=hang, args=(hosts[number % len(hosts)],), daemon=True).start()
        if number == 0:
            signal.sigwait([signal.SIGUSR1])
    signal.pause()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
