"""Real mail servers for tests: a private Postfix and Dovecot, started on free loopback ports and gone afterwards.

Nothing of the system's own Postfix or Dovecot is touched: every folder, socket, log and port is our own. Both servers
have to start as root (they drop to the users that Debian's packages made for them).
"""

from __future__ import annotations

import contextlib
import email
import email.policy
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest
import trustme
from imapclient import IMAPClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from email.message import EmailMessage

POSTFIX_MASTER = Path("/usr/lib/postfix/sbin/master")
DOVECOT = Path("/usr/sbin/dovecot")
PARTS = {
    "postfix": POSTFIX_MASTER,
    "dovecot-imapd": Path("/usr/lib/dovecot/imap"),
    "dovecot-lmtpd": Path("/usr/lib/dovecot/lmtp"),
}
LOOPBACK = "127.0.0.1"
START_SECONDS = 20.0
STOP_SECONDS = 10.0
START_ATTEMPTS = 3

# Owner and mode of each queue folder as `postfix set-permissions` makes them (postfix-files(5)).
QUEUE_FOLDERS = {
    **dict.fromkeys(
        ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved", "trace"),
        ("postfix", "root", 0o700),
    ),
    "maildrop": ("postfix", "postdrop", 0o730),
    "pid": ("root", "root", 0o755),
    "public": ("postfix", "postdrop", 0o710),
}

# `smtpd` lives for one connection, so that an address added while it runs is known to the next one.
# Mail to any domain outside .test is accepted and dropped: no test may reach the world.
MAIN_CF = """\
compatibility_level = 3.6
config_directory = {home}/postfix
queue_directory = {home}/queue
data_directory = {home}/data
maillog_file = {home}/postfix.log
maillog_file_prefixes = {home}
myhostname = {host}
mydestination =
mynetworks =
relay_domains =
alias_maps =
local_recipient_maps =
inet_interfaces = {loopback}
inet_protocols = ipv4
disable_dns_lookups = yes
smtpd_peername_lookup = no
virtual_mailbox_domains = regexp:{home}/postfix/domains
virtual_mailbox_maps = texthash:{home}/postfix/mailboxes
virtual_transport = lmtp:unix:private/dovecot-lmtp
default_transport = discard:
smtpd_tls_cert_file = {home}/server.pem
smtpd_tls_key_file = {home}/server.key
smtpd_tls_security_level = encrypt
smtpd_tls_auth_only = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = private/auth
smtpd_sender_login_maps = regexp:{home}/postfix/sender_logins
recipient_delimiter = +
sender_bcc_maps = regexp:{home}/postfix/sender_copies
smtpd_helo_required = yes
smtpd_helo_restrictions = reject_invalid_helo_hostname, reject_non_fqdn_helo_hostname
smtpd_sender_restrictions = reject_sender_login_mismatch
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_error_sleep_time = 0
smtpd_client_connection_count_limit = 0
in_flow_delay = 0
"""
MASTER_CF = """\
{loopback}:{smtps} inet n - n - - smtpd -o max_use=1 -o smtpd_tls_wrappermode=yes
{loopback}:{submission} inet n - n - - smtpd -o max_use=1
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""
DOVECOT_CONF = """\
protocols = imap lmtp
listen = {loopback}
base_dir = {home}/run
state_dir = {home}/state
log_path = {home}/dovecot.log
ssl = required
ssl_cert = <{home}/server.pem
ssl_key = <{home}/server.key
ssl_min_protocol = TLSv1.2
auth_mechanisms = plain login{xoauth2}
auth_failure_delay = 0
mail_location = maildir:~/Maildir
first_valid_uid = 1
mail_max_userip_connections = 200
passdb {{
  driver = passwd-file
  {passwords_for}
  args = scheme=PLAIN {home}/users
}}
{tokens}
userdb {{
  driver = static
  args = uid=mail gid=mail home={home}/mail/%u{everybody}
}}
lmtp_save_to_detail_mailbox = yes
namespace inbox {{
  inbox = yes
  {sent}
}}
service anvil {{
  # Without this socket wrong passwords from one address are not slowed down.
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service auth {{
  unix_listener {home}/queue/private/auth {{
    mode = 0660
    user = postfix
    group = postfix
  }}
}}
service lmtp {{
  unix_listener {home}/queue/private/dovecot-lmtp {{
    mode = 0660
    user = postfix
    group = postfix
  }}
}}
service imap-login {{
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
"""

# How Google and Microsoft sign in: an access token, about which the one who gave it is asked (RFC 7662). The token has
# to be for the mailbox that is named beside it.
TOKENS = """\
passdb {{
  driver = oauth2
  mechanisms = xoauth2
  args = {home}/tokens.conf
}}
"""
TOKENS_CONF = """\
introspection_url = {introspection_url}
introspection_mode = post
username_attribute = email
active_attribute = active
active_value = true
"""

# How hosters keep the mail that was sent: what stands in Dovecot's namespace. A flagged folder is the usual one.
SENT_HABITS = {
    "flagged": "mailbox Sent {\n    auto = subscribe\n    special_use = \\Sent\n  }",
    "unflagged": "mailbox Sent {\n    auto = subscribe\n  }",
    "localized": 'mailbox "Itens enviados" {\n    auto = subscribe\n  }',
    "beyond_ascii": 'mailbox "Éléments envoyés" {\n    auto = subscribe\n  }',
    "below_inbox": "prefix = INBOX.\n  separator = .\n  mailbox Sent {\n    auto = subscribe\n  }",
    "none": "",
}

# Waits for the end of the process that runs the tests, however it ends, and ends the servers that it left behind.
# (PR_SET_PDEATHSIG would not do: Postfix's master loses it when it changes its user id for a moment.)
KEEPER = """\
read -r _
for file in "$1/run/master.pid" "$1/queue/pid/master.pid"; do
  read -r pid < "$file" && grep -qF "$1" "/proc/$pid/cmdline" && kill -TERM "$pid"
done
while ! rm -rf "$1"; do sleep 0.1; done
"""


class MailServers:
    """Postfix (SMTPS, submission) and Dovecot (IMAPS, sign-in, delivery) that hold real mailboxes below `.test`.

    The certificate names `host` only; connect to 127.0.0.1 and verify against `ca_pem` with that name. As at a real
    provider a sender has to be the address that signed in (553 5.7.1 ... not owned by user), an unknown mailbox below
    `.test` is refused (550 5.1.1), and an EHLO name without a dot is refused (504 5.5.2). Mail to other domains is
    accepted and dropped. `Sent` carries the `\\Sent` flag, or is what another of the SENT_HABITS makes of it; nobody
    but an IMAP client puts anything into it, unless the server `files_copies` as the large providers do. `imap_port`
    demands STARTTLS. With `introspection_url` (`tests/oidc.py` has one) access tokens sign in, too, by XOAUTH2.
    """

    def __init__(
        self,
        users: Mapping[str, str] | None = None,
        *,
        host: str = "mail.agencia.test",
        sent: str = "flagged",
        files_copies: bool = False,
        introspection_url: str = "",
    ) -> None:
        """Prepare servers for `users` (address -> password; addresses lie below `.test`); nothing starts yet."""
        self.host = host
        self.smtps_port = self.submission_port = self.imaps_port = self.imap_port = 0
        self._sent = SENT_HABITS[sent]
        self._files_copies = files_copies
        self._introspection_url = introspection_url
        self._users = dict(users or {})
        self._home = Path("/nonexistent")
        self._servers: dict[str, subprocess.Popen[bytes]] = {}
        self._keeper: subprocess.Popen[bytes] | None = None
        self._writes = 0

    @staticmethod
    def missing() -> str | None:
        """One sentence that says what keeps the servers from running here, or None."""
        absent = [package for package, file in PARTS.items() if not file.exists()]
        if absent:
            return f"{' and '.join(absent)} not installed: run `make world`."
        if os.geteuid() != 0:
            return "Postfix and Dovecot start only as root: run these tests as root, after `make world`."
        return None

    def __enter__(self) -> Self:
        """Start both servers; a taken port is answered with other ports. RuntimeError carries the servers' logs."""
        for _ in range(START_ATTEMPTS - 1):
            with contextlib.suppress(RuntimeError):
                return self._started()
        return self._started()

    def __exit__(self, *_: object) -> None:
        self._stop()

    @property
    def ca_pem(self) -> Path:
        """The throw-away authority that signed the servers' certificate, as a PEM file."""
        return self._home / "ca.pem"

    def tls(self) -> ssl.SSLContext:
        """TLS as these servers speak it, for one more under the same name."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._home / "server.pem", self._home / "server.key")
        return context

    def add_user(self, address: str, password: str) -> None:
        """Make a mailbox for `address`, which signs in with `password`."""
        self.set_password(address, password)

    def set_password(self, address: str, password: str) -> None:
        """From now on `address` signs in with `password` (any text without a line end) and with nothing else."""
        self._users[address] = password
        self._write_users()
        self._wait(lambda: self._dovecot_knows(address, password), f"the new password of {address}")

    def inbox(self, address: str) -> list[EmailMessage]:
        """All mail in the person's INBOX, oldest first, read over IMAPS."""
        return self.folder(address, "INBOX")

    def folder(self, address: str, name: str) -> list[EmailMessage]:
        """All mail in one folder of the person's mailbox, oldest first, read over IMAPS."""
        with self._signed_in(address) as client:
            client.select_folder(name, readonly=True)
            found = client.fetch(client.search(), ["BODY.PEEK[]"])
        raw = [found[uid][b"BODY[]"] for uid in sorted(found)]
        return [email.message_from_bytes(one, policy=email.policy.default) for one in raw]

    def wait_for_mail(self, address: str, subject: str, timeout: float = 10.0) -> EmailMessage:
        """The newest mail with this subject in the person's INBOX; RuntimeError when none came in `timeout` seconds."""
        hits: list[EmailMessage] = []

        def arrived() -> bool:
            hits[:] = [one for one in self.inbox(address) if one["Subject"] == subject]
            return bool(hits)

        self._wait(arrived, f"a mail {subject!r} in the inbox of {address}", timeout)
        return hits[-1]

    def smtp_log(self) -> str:
        """All that Postfix has logged since it was started first."""
        return _read(self._home / "postfix.log")

    def stop_smtp(self) -> None:
        """Take the SMTP server away: connections are refused until `start_smtp`."""
        self._end("postfix")
        # Its children hold the same listening sockets, and die a moment after it.
        ports = (self.smtps_port, self.submission_port)
        self._wait(lambda: not any(is_open(port) for port in ports), "the end of the SMTP server")

    def start_smtp(self) -> None:
        """Bring the SMTP server back on the same ports."""
        self._launch("postfix", [POSTFIX_MASTER, "-c", self._home / "postfix", "-s"])
        self._wait(lambda: _greets(self.smtps_port, b"220", tls=True), "the greeting of SMTPS")
        self._wait(lambda: _greets(self.submission_port, b"220"), "the greeting of submission")

    def _started(self) -> Self:
        self._home = Path(tempfile.mkdtemp(prefix="mail-"))
        with contextlib.ExitStack() as undo:
            undo.callback(self._stop)
            self._start()
            undo.pop_all()
        return self

    def _start(self) -> None:
        self._home.chmod(0o755)  # the servers' own users have to reach their sockets
        command = ["sh", "-c", KEEPER, "keeper", str(self._home)]
        self._keeper = subprocess.Popen(
            command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
        )
        self.smtps_port, self.submission_port, self.imaps_port, self.imap_port = _free_ports(4)
        self._make_certificate()
        self._make_folders()
        self._write_configuration()
        self._write_users()
        self._launch("dovecot", [DOVECOT, "-F", "-c", self._home / "dovecot.conf"])
        self._wait(lambda: _greets(self.imaps_port, b"* OK", tls=True), "the greeting of IMAPS")
        self.start_smtp()

    def _make_certificate(self) -> None:
        authority = trustme.CA()
        server = authority.issue_cert(self.host)
        authority.cert_pem.write_to_path(self.ca_pem)
        server.cert_chain_pems[0].write_to_path(self._home / "server.pem")
        (self._home / "server.key").touch(mode=0o600)
        server.private_key_pem.write_to_path(self._home / "server.key")

    def _make_folders(self) -> None:
        for name in ("postfix", "run", "state", "queue"):
            (self._home / name).mkdir()
        _make_folder(self._home / "data", "postfix", "root", 0o700)
        _make_folder(self._home / "mail", "mail", "mail", 0o700)
        for name, (owner, group, mode) in QUEUE_FOLDERS.items():
            _make_folder(self._home / "queue" / name, owner, group, mode)

    def _write_configuration(self) -> None:
        values = {
            "home": self._home,
            "host": self.host,
            "loopback": LOOPBACK,
            "smtps": self.smtps_port,
            "submission": self.submission_port,
            "imaps": self.imaps_port,
            "imap": self.imap_port,
            "sent": self._sent,
            "xoauth2": " xoauth2" if self._introspection_url else "",
            "passwords_for": "mechanisms = plain login" if self._introspection_url else "",
            # Else a mailbox is looked for where passwords are, and these are then for who signs in only.
            "everybody": " allow_all_users=yes" if self._introspection_url else "",
            "tokens": TOKENS.format(home=self._home) if self._introspection_url else "",
        }
        postfix = self._home / "postfix"
        (postfix / "main.cf").write_text(MAIN_CF.format(**values))
        (postfix / "master.cf").write_text(MASTER_CF.format(**values))
        (postfix / "domains").write_text("/\\.test$/ local\n")
        (postfix / "sender_logins").write_text("/^(.+)$/ $1\n")
        copies = "/^(.+)@(.+)$/ $1+Sent@$2\n" if self._files_copies else ""
        (postfix / "sender_copies").write_text(copies)
        (self._home / "dovecot.conf").write_text(DOVECOT_CONF.format(**values))
        (self._home / "tokens.conf").write_text(TOKENS_CONF.format(introspection_url=self._introspection_url))

    def _write_users(self) -> None:
        mailboxes = "".join(f"{address} here\n" for address in self._users)
        _replace(self._home / "postfix" / "mailboxes", mailboxes, 0o644)
        users = "".join(
            f"{address}:{{PLAIN.HEX}}{password.encode().hex()}\n" for address, password in self._users.items()
        )
        _replace(self._home / "users", users, 0o640)
        shutil.chown(self._home / "users", "root", "dovecot")
        # Dovecot re-reads the file when size or whole second changed: each writing gets a second of its own.
        self._writes += 1
        os.utime(self._home / "users", (self._writes, self._writes))

    def _dovecot_knows(self, address: str, password: str) -> bool:
        command: list[str | Path] = [
            "doveadm",
            "-c",
            self._home / "dovecot.conf",
            "auth",
            "test",
            "--",
            address,
            password,
        ]
        return subprocess.run(command, capture_output=True, check=False, timeout=STOP_SECONDS).returncode == 0

    @contextlib.contextmanager
    def _signed_in(self, address: str) -> Iterator[IMAPClient]:
        context = ssl.create_default_context(cafile=str(self.ca_pem))
        context.check_hostname = False  # the certificate names `host`, which no DNS knows
        with IMAPClient(LOOPBACK, port=self.imaps_port, ssl_context=context, timeout=10) as client:
            client.plain_login(address, self._users[address])
            yield client

    def _launch(self, name: str, command: list[str | Path]) -> None:
        with (self._home / f"{name}.err").open("ab") as errors:
            self._servers[name] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
                cwd="/",
            )

    def _end(self, name: str) -> None:
        server = self._servers.pop(name)
        server.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(STOP_SECONDS)
        # What the master left behind (Postfix's does not wait for its children), or the master that would not end.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait(STOP_SECONDS)

    def _stop(self) -> None:
        for name in list(self._servers):
            self._end(name)
        if self._keeper:
            self._keeper.kill()
            self._keeper.communicate()
        self._wait(lambda: _removed(self._home), "the end of the servers' files")

    def _wait(self, condition: Callable[[], bool], what: str, seconds: float = START_SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            dead = [name for name, server in self._servers.items() if server.poll() is not None]
            if dead or time.monotonic() > deadline:
                logs = "\n".join(
                    _read(self._home / f"{name}.{end}") for name in self._servers for end in ("log", "err")
                )
                raise RuntimeError(f"Waited in vain for {what}; ended: {dead or 'nobody'}.\n{logs[-4000:]}")
            time.sleep(0.05)


@pytest.fixture(scope="session")
def mail_servers() -> Iterator[MailServers]:
    """Running servers for a whole session; import this name into `conftest.py`."""
    with started_mail_servers() as servers:
        yield servers


def started_mail_servers(
    users: Mapping[str, str] | None = None,
    *,
    sent: str = "flagged",
    files_copies: bool = False,
    introspection_url: str = "",
) -> MailServers:
    """Servers ready to be entered with `with`; skips the test where they cannot run, fails it in CI (CI=true)."""
    reason = MailServers.missing()
    if reason and os.environ.get("CI") == "true":
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    return MailServers(users, sent=sent, files_copies=files_copies, introspection_url=introspection_url)


def is_open(port: int) -> bool:
    """Whether somebody takes connections at this port of the loopback address."""
    try:
        socket.create_connection((LOOPBACK, port), timeout=5).close()
    except OSError:
        return False
    return True


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((LOOPBACK, 0))
        return [one.getsockname()[1] for one in sockets]


def _greets(port: int, greeting: bytes, *, tls: bool = False) -> bool:
    context = ssl._create_unverified_context()
    try:
        with contextlib.ExitStack() as stack:
            connection = stack.enter_context(socket.create_connection((LOOPBACK, port), timeout=5))
            if tls:
                connection = stack.enter_context(context.wrap_socket(connection))
            return connection.recv(512).startswith(greeting)
    except OSError:
        return False


def _make_folder(path: Path, owner: str, group: str, mode: int) -> None:
    path.mkdir()
    shutil.chown(path, owner, group)
    path.chmod(mode)


def _replace(path: Path, text: str, mode: int) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.chmod(mode)
    fresh.replace(path)


def _read(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""


def _removed(path: Path) -> bool:
    # A server that is just ending may still put a file into a folder that is being removed.
    shutil.rmtree(path, ignore_errors=True)
    return not path.exists()
