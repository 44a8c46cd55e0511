"""The real mail servers of the tests behave as real providers do: what other tests rely on is held here."""

import base64
import contextlib
import os
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import time
from email.message import EmailMessage
from pathlib import Path

import pytest
from imapclient import IMAPClient

from tests.mailservers import LOOPBACK, PARTS, MailServers, is_open, started_mail_servers

pytestmark = pytest.mark.world
ANA, BRUNO = "ana@agencia.test", "bruno@agencia.test"
PASSWORD = "açaí: chá e {pão}"
OUR_NAME = "client.agencia.test"


@pytest.fixture(scope="module")
def servers():
    with started_mail_servers({ANA: PASSWORD, BRUNO: "bruno's own"}) as servers:
        yield servers


class Smtps(smtplib.SMTP_SSL):
    def _get_socket(self, host, port, timeout):
        return self.context.wrap_socket(socket.create_connection((LOOPBACK, port), timeout), server_hostname=host)


class Submission(smtplib.SMTP):
    def _get_socket(self, host, port, timeout):
        return socket.create_connection((LOOPBACK, port), timeout)


@contextlib.contextmanager
def smtps(servers):
    context = ssl.create_default_context(cafile=servers.ca_pem)
    with Smtps(servers.host, servers.smtps_port, OUR_NAME, timeout=10, context=context) as client:
        yield client


@contextlib.contextmanager
def submission(servers):
    context = ssl.create_default_context(cafile=servers.ca_pem)
    with Submission(servers.host, servers.submission_port, OUR_NAME, timeout=10) as client:
        client.starttls(context=context)
        yield client


def sign_in(client, address, password):
    client.ehlo_or_helo_if_needed()
    answer = client.docmd("AUTH", "PLAIN " + base64.b64encode(f"\0{address}\0{password}".encode()).decode())
    if answer[0] != 235:
        raise smtplib.SMTPAuthenticationError(*answer)


def mail(subject, sender=ANA, to=BRUNO):
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, to, subject
    message.set_content("Olá!")
    return message


def wait_until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("way", [smtps, submission])
def test_a_person_sends_over_verified_tls(servers, way):
    with way(servers) as client:
        sign_in(client, ANA, PASSWORD)
        assert client.send_message(mail(f"over {way.__name__}")) == {}


@pytest.mark.parametrize("way", [smtps, submission])
def test_a_wrong_password_is_refused(servers, way):
    with way(servers) as client, pytest.raises(smtplib.SMTPAuthenticationError, match="authentication failed"):
        sign_in(client, ANA, "wrong")


def test_the_certificate_names_the_host_and_nothing_else(servers):
    context = ssl.create_default_context(cafile=servers.ca_pem)
    with pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"):
        Smtps(LOOPBACK, servers.smtps_port, OUR_NAME, timeout=10, context=context)


def test_submission_takes_no_password_before_starttls(servers):
    with Submission(servers.host, servers.submission_port, OUR_NAME, timeout=10) as client:
        client.ehlo()
        assert client.has_extn("starttls")
        assert not client.has_extn("auth")


def test_a_mail_arrives_in_the_inbox_with_its_own_message_id(servers):
    message = mail("arrives")
    message["Message-ID"] = "<arrives@agencia.test>"
    with smtps(servers) as client:
        sign_in(client, ANA, PASSWORD)
        assert client.send_message(message) == {}
    arrived = servers.wait_for_mail(BRUNO, "arrives")
    assert arrived["Message-ID"] == "<arrives@agencia.test>"
    assert arrived.get_content().strip() == "Olá!"
    assert [one["Subject"] for one in servers.inbox(BRUNO)].count("arrives") == 1


def test_waiting_for_a_mail_that_never_comes_ends_with_the_servers_logs(servers):
    with pytest.raises(RuntimeError, match=r"(?s)a mail 'never' in the inbox of .*postfix/smtpd"):
        servers.wait_for_mail(BRUNO, "never", timeout=0.2)


@pytest.mark.parametrize(
    ("sender", "recipient", "code", "text"),
    [
        (BRUNO, ANA, 553, b"not owned by user"),
        (ANA, "nobody@agencia.test", 550, b"User unknown"),
    ],
    ids=["a sender who is not the login", "a mailbox that does not exist"],
)
def test_the_server_refuses(servers, sender, recipient, code, text):
    with smtps(servers) as client:
        sign_in(client, ANA, PASSWORD)
        with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
            client.send_message(mail("refused", sender, recipient))
    assert refused.value.recipients[recipient][0] == code
    assert text in refused.value.recipients[recipient][1]


def test_tokens_are_taken_only_where_somebody_can_be_asked_about_them(servers, oidc):
    with smtps(servers) as client:
        client.ehlo()
        assert "XOAUTH2" not in client.esmtp_features["auth"]
    with started_mail_servers({ANA: PASSWORD}, introspection_url=oidc.introspection_url) as asking:
        with smtps(asking) as client:
            client.ehlo()
            assert client.esmtp_features["auth"].split() == ["PLAIN", "LOGIN", "XOAUTH2"]
            sign_in(client, ANA, PASSWORD)
            client.send_message(mail("beside", ANA, ANA))
        assert asking.wait_for_mail(ANA, "beside")["From"] == ANA


def test_nobody_sends_without_signing_in(servers):
    with smtps(servers) as client, pytest.raises(smtplib.SMTPException, match="not logged in"):
        client.send_message(mail("unsigned"))


def test_a_greeting_name_without_a_dot_is_refused(servers):
    with smtps(servers) as client:
        client.ehlo("laptop")
        sign_in(client, ANA, PASSWORD)
        with pytest.raises(smtplib.SMTPRecipientsRefused, match="need fully-qualified hostname"):
            client.send_message(mail("no dot"))


def test_mail_to_the_world_is_accepted_and_dropped(servers):
    with smtps(servers) as client:
        sign_in(client, ANA, PASSWORD)
        assert client.send_message(mail("dropped", to="someone@example.com")) == {}
    wait_until(lambda: "to=<someone@example.com>, relay=none" in servers.smtp_log())
    assert "status=sent" in servers.smtp_log().split("to=<someone@example.com>, relay=none", 1)[1].splitlines()[0]


def test_sent_carries_its_flag_and_takes_a_copy(servers):
    context = ssl.create_default_context(cafile=servers.ca_pem)
    context.check_hostname = False
    with IMAPClient(LOOPBACK, port=servers.imaps_port, ssl_context=context, timeout=10) as client:
        client.plain_login(ANA, PASSWORD)
        assert [name for flags, _, name in client.list_folders() if b"\\Sent" in flags] == ["Sent"]
        client.append("Sent", mail("copy").as_bytes(), flags=[b"\\Seen"])
    assert [one["Subject"] for one in servers.folder(ANA, "Sent")] == ["copy"]


def test_a_new_person_and_a_new_password_count_at_once(servers):
    carla = "carla@agencia.test"
    servers.add_user(carla, "first password")
    for password in ("other password", "third password"):
        servers.set_password(carla, password)
        with smtps(servers) as client, pytest.raises(smtplib.SMTPAuthenticationError):
            sign_in(client, carla, "first password")
        with smtps(servers) as client:
            sign_in(client, carla, password)
            client.send_message(mail(password, carla, carla))
        assert servers.wait_for_mail(carla, password)["From"] == carla


def test_a_dead_smtp_server_refuses_connections_until_it_is_started_again(servers):
    servers.stop_smtp()
    for port in (servers.smtps_port, servers.submission_port):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((LOOPBACK, port), timeout=5)
    servers.start_smtp()
    with smtps(servers) as client:
        sign_in(client, ANA, PASSWORD)
        client.send_message(mail("back again"))
    servers.wait_for_mail(BRUNO, "back again")


def test_everything_is_gone_after_the_end():
    system = {
        path: path.stat().st_mtime_ns for path in (Path("/etc/postfix"), Path("/var/spool/postfix")) if path.exists()
    }
    with started_mail_servers() as own:
        home = own.ca_pem.parent
        ports = (own.smtps_port, own.submission_port, own.imaps_port)
        assert all(is_open(port) for port in ports)
    assert not home.exists()
    wait_until(lambda: not any(is_open(port) for port in ports))
    assert system == {path: path.stat().st_mtime_ns for path in system}


OWNER = """
from tests.mailservers import MailServers
with MailServers() as servers:
    print(servers.ca_pem.parent, servers.smtps_port, servers.submission_port, servers.imaps_port, flush=True)
    input()
"""


def test_the_servers_end_with_a_test_process_that_is_killed():
    started_mail_servers()
    root = Path(__file__).parents[1]
    with subprocess.Popen(
        [sys.executable, "-c", OWNER], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        home, *ports = owner.stdout.readline().split()
        os.kill(owner.pid, signal.SIGKILL)
    wait_until(lambda: not any(is_open(int(port)) for port in ports) and not Path(home).exists())


def test_a_missing_package_skips_here_and_fails_in_ci(monkeypatch, tmp_path):
    monkeypatch.setitem(PARTS, "dovecot-lmtpd", tmp_path / "not there")
    assert MailServers.missing() == "dovecot-lmtpd not installed: run `make world`."
    monkeypatch.setenv("CI", "false")
    with pytest.raises(pytest.skip.Exception, match="dovecot-lmtpd"):
        started_mail_servers()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="make world"):
        started_mail_servers()
