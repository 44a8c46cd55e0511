"""A program that sends mail: so many sessions at once, each over one connection, to whatever submission server.

`python -m tests.bench.floors.smtp PORT HOST CA MAILS < accounts` (lines of `address key`): prints the seconds that all
of it took, and the seconds of each mail, as JSON. The same program writes to the door and to Postfix itself.
"""

import json
import smtplib
import socket
import ssl
import sys
import threading
import time

BODY = "A line of a mail that has some words, and an end.\r\n" * 40  # 2 kB


class _Client(smtplib.SMTP_SSL):
    """smtplib at 127.0.0.1, with the certificate of another name."""

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", port), timeout)
        return self.context.wrap_socket(sock, server_hostname=host)


def _session(client: _Client, address: str, mails: int, took: list[float], run: str) -> None:
    for number in range(mails):
        local = address.partition("@")[0]
        message = (
            f"From: {address}\r\nTo: bia@elsewhere.example\r\nSubject: {number}\r\n"
            f"Date: Mon, 2 Mar 2026 12:00:00 +0000\r\nMessage-ID: <{run}.{number}.{local}@bench>\r\n\r\n{BODY}"
        )
        began = time.perf_counter()
        refused = client.sendmail(address, ["bia@elsewhere.example"], message)
        took.append(time.perf_counter() - began)
        assert not refused


def main() -> None:
    """See the head of the module."""
    port, host, authority, mails = int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
    context = ssl.create_default_context(cafile=authority)
    accounts = [line.split() for line in sys.stdin]
    clients = []
    for address, key in accounts:
        client = _Client(host, port, local_hostname="ally.example", timeout=60, context=context)
        client.login(address, key)
        clients.append((client, address))
    took: list[float] = []
    run = str(time.time_ns())
    threads = [threading.Thread(target=_session, args=(*one, mails, took, run)) for one in clients]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began
    for client, _ in clients:
        client.quit()
    sys.stdout.write(json.dumps({"seconds": seconds, "took": took}))


if __name__ == "__main__":
    main()
