"""The sandbox mail server speaks the real protocols, tried with the clients of the standard library and IMAPClient."""

import base64
import contextlib
import logging
import select
import smtplib
import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from imaplib import IMAP4

import pytest
import trustme
from imapclient import IMAPClient
from imapclient.exceptions import IMAPClientError

from bot.playground.mail import FAULTS, FOLDER_MESSAGES, MESSAGE_BYTES, OUTSIDE, RECIPIENTS, Sandbox, SandboxError

ANA, BRUNO = "ana@sandbox.test", "bruno@sandbox.test"
OUR_NAME = "client.agencia.test"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def sandbox(home):
    with Sandbox(home) as sandbox:
        yield sandbox


def trusting(sandbox):
    return ssl.create_default_context(cafile=sandbox.ca_pem)


@contextlib.contextmanager
def smtps(sandbox):
    with smtplib.SMTP_SSL(
        sandbox.host, sandbox.ports["smtps"], OUR_NAME, timeout=10, context=trusting(sandbox)
    ) as client:
        yield client


@contextlib.contextmanager
def submission(sandbox):
    with smtplib.SMTP(sandbox.host, sandbox.ports["submission"], OUR_NAME, timeout=10) as client:
        client.starttls(context=trusting(sandbox))
        yield client


@contextlib.contextmanager
def signed_in(sandbox, address=ANA):
    with smtps(sandbox) as client:
        client.login(address, sandbox.passwords[address])
        yield client


@contextlib.contextmanager
def imaps(sandbox, address=ANA):
    with IMAPClient(sandbox.host, sandbox.ports["imaps"], ssl_context=trusting(sandbox), timeout=10) as client:
        client.login(address, sandbox.passwords[address])
        yield client


def mail(subject="Olá", to=BRUNO, text="Tudo bem?\n", sender=ANA):
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = f"Ana Souza <{sender}>", to, subject
    message["Date"], message["Message-ID"] = "Wed, 25 Nov 2026 13:00:00 +0000", f"<{len(subject)}@agencia.test>"
    message.set_content(text)
    return message


@pytest.mark.parametrize("way", [smtps, submission])
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_a_mail_sent_over_verified_tls_arrives_in_the_inbox(sandbox, way, mechanism):
    with way(sandbox) as client:
        client.ehlo()
        assert client.esmtp_features["auth"].split() == ["LOGIN", "PLAIN"]
        client.user, client.password = ANA, sandbox.passwords[ANA]
        assert client.auth(mechanism, getattr(client, f"auth_{mechanism.lower()}"))[0] == 235
        assert client.send_message(mail()) == {}
    with imaps(sandbox, BRUNO) as client:
        client.select_folder("INBOX")
        (uid,) = client.search(["HEADER", "Message-ID", "<3@agencia.test>"])
        raw = client.fetch([uid], ["BODY.PEEK[]"])[uid][b"BODY[]"]
    assert raw.startswith(b"Return-Path: <ana@sandbox.test>\r\nDelivered-To: bruno@sandbox.test\r\nFrom: Ana Souza")
    assert raw.endswith(b"Tudo bem?\r\n")


def test_the_page_sees_each_mail_where_it_lies(sandbox):
    with signed_in(sandbox) as client:
        client.send_message(mail("two of ours", to=f"{BRUNO}, Carla@Sandbox.TEST"))
        client.send_message(mail("away", to=f"{BRUNO}, joão@example.com", text="Für dich\n"), mail_options=["SMTPUTF8"])
    with imaps(sandbox) as client:
        client.append("Sent", mail("copy").as_bytes(), flags=[b"\\Seen"])
    seen = sandbox.mailboxes()
    subjects = {(who, name): [one.subject for one in mails] for who, box in seen.items() for name, mails in box.items()}
    assert {key: value for key, value in subjects.items() if value} == {
        (ANA, "Sent"): ["copy"],
        (BRUNO, "INBOX"): ["two of ours", "away"],
        ("carla@sandbox.test", "INBOX"): ["two of ours"],
        (OUTSIDE, "INBOX"): ["away"],
    }
    away = seen[OUTSIDE]["INBOX"][0]
    assert (away.sender, away.to, away.text.strip()) == (f"Ana Souza <{ANA}>", "joão@example.com", "Für dich")
    assert (away.date, away.message_id) == ("Wed, 25 Nov 2026 13:00:00 +0000", "<4@agencia.test>")
    assert seen[BRUNO]["INBOX"][1].to == f"{BRUNO}, joão@example.com"
    assert sandbox.mailboxes() == seen


@pytest.mark.parametrize(
    ("address", "password"),
    [(ANA, b"wrong"), ("nobody@sandbox.test", b"wrong"), (ANA, b"\x07"), (ANA, b"")],
    ids=["wrong password", "unknown person", "control character", "nothing"],
)
def test_who_cannot_prove_who_they_are_is_refused(sandbox, address, password):
    given = b"\0" + address.encode() + b"\0" + password
    with smtps(sandbox) as client:
        client.ehlo()
        answer = client.docmd("AUTH", "PLAIN " + base64.b64encode(given).decode())
    assert answer == (535, b"5.7.8 Error: authentication failed: (reason unavailable)")
    with (
        IMAPClient(sandbox.host, sandbox.ports["imaps"], ssl_context=trusting(sandbox), timeout=10) as client,
        pytest.raises(IMAP4.error, match="uthentication failed"),
    ):
        client._imap.authenticate("PLAIN", lambda _: given)


def test_bytes_that_are_no_text_are_nobodys_password(sandbox):
    given = b"\0" + ANA.encode() + b"\0\xff\xfe"
    with smtps(sandbox) as client:
        client.ehlo()
        assert client.docmd("AUTH", "PLAIN " + base64.b64encode(given).decode())[0] == 535
    with (
        IMAPClient(sandbox.host, sandbox.ports["imaps"], ssl_context=trusting(sandbox), timeout=10) as client,
        pytest.raises(IMAP4.abort),
    ):
        client._imap.authenticate("PLAIN", lambda _: given)
    with imaps(sandbox) as client:
        assert client.select_folder("INBOX")[b"EXISTS"] == 0


def test_nobody_reads_another_persons_mail_with_their_own_password(sandbox):
    given = f"{BRUNO}\0{ANA}\0{sandbox.passwords[ANA]}".encode()
    with (
        IMAPClient(sandbox.host, sandbox.ports["imaps"], ssl_context=trusting(sandbox), timeout=10) as client,
        pytest.raises(IMAP4.error, match="AUTHORIZATIONFAILED"),
    ):
        client._imap.authenticate("PLAIN", lambda _: given)


def test_a_client_that_trusts_nobody_here_is_let_go_in_peace(sandbox, caplog):
    for name in sandbox.ports:
        with socket.create_connection(("127.0.0.1", sandbox.ports[name]), timeout=10) as plain:
            if name == "submission":
                plain.recv(1000)
                plain.sendall(b"STARTTLS\r\n")
                plain.recv(1000)
            with pytest.raises(ssl.SSLCertVerificationError):
                ssl.create_default_context().wrap_socket(plain, server_hostname=sandbox.host)
    with signed_in(sandbox) as client:
        assert client.noop()[0] == 250
    assert [one for one in caplog.records if one.levelno >= logging.WARNING] == []


def test_the_case_of_an_address_does_not_count(sandbox):
    with smtps(sandbox) as client:
        client.login("Ana@Sandbox.test", sandbox.passwords[ANA])
        assert client.send_message(mail(sender="ANA@sandbox.test")) == {}
    with IMAPClient(sandbox.host, sandbox.ports["imaps"], ssl_context=trusting(sandbox), timeout=10) as client:
        client.login("Bruno@Sandbox.test", sandbox.passwords[BRUNO])
        assert client.select_folder("INBOX")[b"EXISTS"] == 1


def test_nobody_sends_without_signing_in_or_as_somebody_else(sandbox):
    with smtps(sandbox) as client:
        client.ehlo()
        assert client.mail(ANA)[0] == 530
    with signed_in(sandbox) as client:
        assert client.mail(BRUNO) == (
            553,
            f"5.7.1 <{BRUNO}>: Sender address rejected: not owned by user {ANA}".encode(),
        )
    assert sandbox.mailboxes()[BRUNO]["INBOX"] == []


def test_submission_does_nothing_before_starttls(sandbox):
    with smtplib.SMTP(sandbox.host, sandbox.ports["submission"], OUR_NAME, timeout=10) as client:
        client.ehlo()
        assert not client.has_extn("auth")
        assert client.docmd("AUTH", "PLAIN AGEAYg==")[0] == 530
        assert client.mail(ANA)[0] == 530


def test_sent_carries_its_flag_and_a_copy_is_found_by_its_message_id(sandbox):
    with imaps(sandbox) as client:
        assert {(name, b"\\Sent" in flags) for flags, _, name in client.list_folders()} == {
            ("INBOX", False),
            ("Sent", True),
        }
        assert client.find_special_folder(b"\\Sent") == "Sent"
        client.select_folder("Sent")
        client.append("Sent", mail("copy").as_bytes(), flags=[b"\\Seen"])
        (uid,) = client.search(["HEADER", "Message-ID", "<4@agencia.test>"])
        assert client.get_flags([uid])[uid] == (b"\\Recent", b"\\Seen")
        assert client.search(["HEADER", "Message-ID", "<5@agencia.test>"]) == []


def test_folders_are_fixed(sandbox):
    with imaps(sandbox) as client:
        client.select_folder("INBOX")
        for command in (lambda: client.create_folder("New"), lambda: client.delete_folder("Sent")):
            with pytest.raises(IMAPClientError, match="Unknown command"):
                command()
        assert not client.has_capability("MOVE")
        with pytest.raises(IMAPClientError, match="TRYCREATE"):
            client.append("New", b"Subject: x\r\n\r\n")


def test_a_folder_keeps_its_newest_mails(sandbox):
    with imaps(sandbox) as client:
        for number in range(FOLDER_MESSAGES + 2):
            client.append("Sent", f"Subject: {number}\r\n\r\n".encode())
    with signed_in(sandbox) as client:
        for number in range(FOLDER_MESSAGES + 2):
            client.sendmail(ANA, [BRUNO], f"Subject: {number}\r\n\r\n".encode())
    seen = sandbox.mailboxes()
    newest = [str(number) for number in range(2, FOLDER_MESSAGES + 2)]
    assert [one.subject for one in seen[ANA]["Sent"]] == newest
    assert [one.subject for one in seen[BRUNO]["INBOX"]] == newest


def test_a_folder_keeps_no_more_bytes_than_five_mails_of_the_greatest_size(sandbox):
    line = b"x" * 998 + b"\r\n"
    with imaps(sandbox) as client:
        for number in range(7):
            client.append("Sent", b"Subject: %d\r\n\r\n" % number + line * (9 * 1024 * 1024 // 1000))
    assert [one.subject for one in sandbox.mailboxes()[ANA]["Sent"]] == ["2", "3", "4", "5", "6"]


def test_a_mail_that_is_too_large_is_refused_by_smtp_and_imap(sandbox):
    large = b"Subject: large\r\n\r\n" + (b"x" * 998 + b"\r\n") * (MESSAGE_BYTES // 1000 + 1)
    with signed_in(sandbox) as client:
        assert client.esmtp_features["size"] == str(MESSAGE_BYTES)
        with pytest.raises(smtplib.SMTPSenderRefused, match="552"):
            client.sendmail(ANA, [BRUNO], large)
        client.mail(ANA)
        client.rcpt(BRUNO)
        assert client.data(large)[0] == 552
    with imaps(sandbox) as client, pytest.raises((IMAPClientError, ConnectionError, ssl.SSLError)):
        client.append("Sent", large)
    assert sandbox.mailboxes()[BRUNO]["INBOX"] == sandbox.mailboxes()[ANA]["Sent"] == []


def test_a_client_that_announces_a_gigabyte_is_hung_up_on(sandbox):
    with (
        socket.create_connection(("127.0.0.1", sandbox.ports["imaps"]), timeout=10) as plain,
        trusting(sandbox).wrap_socket(plain, server_hostname=sandbox.host) as client,
    ):
        client.recv(1000)
        client.sendall(b"a LOGIN {1000000000+}\r\n")
        assert client.recv(1000) == b""


def test_a_line_without_end_is_hung_up_on(sandbox):
    with (
        socket.create_connection(("127.0.0.1", sandbox.ports["imaps"]), timeout=10) as plain,
        trusting(sandbox).wrap_socket(plain, server_hostname=sandbox.host) as client,
    ):
        client.recv(1000)
        with contextlib.suppress(OSError):
            client.sendall(b"a" * 1_000_000)
        with contextlib.suppress(OSError):
            assert client.recv(1000) == b""
    assert sandbox.mailboxes()[ANA] == {"INBOX": [], "Sent": []}


def test_more_recipients_than_a_mail_may_have_are_put_off(sandbox):
    with signed_in(sandbox) as client:
        client.mail(ANA)
        codes = [client.rcpt(f"p{number}@example.com")[0] for number in range(RECIPIENTS + 1)]
    assert codes == [250] * RECIPIENTS + [452]


def test_a_mail_that_nobody_can_parse_is_shown_all_the_same(sandbox):
    hostile = b"From: \xff\xfe <<>>;\r\nSubject: =?x?q?y?=\r\nContent-Type: text/plain; charset=no-such\r\n\r\n\xff\r\n"
    with signed_in(sandbox) as client:
        client.sendmail(ANA, [BRUNO], hostile)
        client.sendmail(ANA, [BRUNO], b"Subject: long\r\n\r\n" + b"long \r\n" * 20_000)
        client.sendmail(ANA, [BRUNO], b"Subject: page\r\nContent-Type: text/html\r\n\r\n<b>bold</b>\r\n")
        client.sendmail(ANA, [BRUNO], b"Subject: picture\r\nContent-Type: image/png\r\n\r\n")
    broken, long, page, picture = sandbox.mailboxes()[BRUNO]["INBOX"]
    assert broken.subject == "(this mail cannot be read)"
    assert (long.subject, len(long.text)) == ("long", 10_000)
    assert (page.text.strip(), picture.text) == ("<b>bold</b>", "")


@pytest.mark.parametrize("kind", ["app_password", "auth_down", "auth_off"])
def test_a_fault_at_sign_in_answers_in_the_providers_words(sandbox, kind):
    sandbox.refuse(kind)
    with smtps(sandbox) as client:
        client.ehlo()
        client.user, client.password = ANA, sandbox.passwords[ANA]
        with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
            client.auth("PLAIN", client.auth_plain)
    lines = FAULTS[kind].reply.split("\r\n")
    assert refused.value.smtp_code == int(lines[0][:3])
    assert refused.value.smtp_error.decode().split("\n") == [line[4:] for line in lines]
    sandbox.refuse(None)
    with signed_in(sandbox) as client:
        assert client.noop()[0] == 250


def test_greylisting_puts_a_recipient_off_until_it_is_lifted(sandbox):
    sandbox.refuse("greylist")
    with signed_in(sandbox) as client:
        with pytest.raises(
            smtplib.SMTPRecipientsRefused, match=r"450, b'4.2.0 <bruno@sandbox.test>.*help/sandbox.test"
        ):
            client.send_message(mail())
        sandbox.refuse(None)
        assert client.send_message(mail()) == {}


def test_a_fault_chosen_before_the_start_is_played_from_the_start(home):
    sandbox = Sandbox(home)
    sandbox.refuse("auth_down")
    with sandbox, smtps(sandbox) as client, pytest.raises(smtplib.SMTPAuthenticationError, match="454"):
        client.login(ANA, sandbox.passwords[ANA])


def test_a_hanging_server_greets_and_says_nothing_more_until_it_is_lifted(sandbox):
    sandbox.refuse("hang")
    with smtps(sandbox) as client:
        client.putcmd("EHLO", OUR_NAME)
        assert select.select([client.sock], [], [], 0.3) == ([], [], [])
        sandbox.refuse(None)
        assert client.getreply()[0] == 250


def test_a_server_that_refuses_connections_listens_nowhere_until_it_is_lifted(sandbox):
    ports = dict(sandbox.ports)
    sandbox.refuse("refused")
    for name in ("smtps", "submission"):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", ports[name]), 10)
    socket.create_connection(("127.0.0.1", ports["imaps"]), 10).close()
    sandbox.refuse("greylist")
    assert sandbox.ports == ports
    with signed_in(sandbox) as client:
        assert client.noop()[0] == 250


def test_a_wrong_certificate_is_another_servers_until_it_is_lifted(sandbox):
    sandbox.refuse("certificate")
    for connect in (smtps, submission):
        with pytest.raises(ssl.SSLCertVerificationError, match="not valid for 'localhost'"), connect(sandbox):
            pass
    sandbox.refuse(None)
    with signed_in(sandbox) as client:
        assert client.noop()[0] == 250


@pytest.mark.parametrize(("kind", "code"), [("mailbox_full", 552), ("too_many_logins", 454)])
def test_more_faults_answer_in_the_providers_words(sandbox, kind, code):
    sandbox.refuse(kind)
    failures = (smtplib.SMTPRecipientsRefused, smtplib.SMTPAuthenticationError)
    with pytest.raises(failures, match=f"{code}, b.[45]"), signed_in(sandbox) as client:
        client.send_message(mail())


def test_an_unknown_fault_is_a_mistake_of_the_caller(sandbox):
    with pytest.raises(ValueError, match="app_password, bad_credentials"):
        sandbox.refuse("flood")


def test_the_certificate_is_kept_private_and_stays_the_same(home):
    with Sandbox(home) as first:
        before = first.ca_pem.read_bytes()
        assert (home / "sandbox" / "server.pem").stat().st_mode & 0o077 == 0
    with Sandbox(home) as second:
        assert second.ca_pem.read_bytes() == before


def expired(folder):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    certificate = authority.issue_cert("localhost", not_after=datetime.now(UTC) - timedelta(days=1))
    certificate.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")


def for_another_name(folder):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    authority.issue_cert("mail.test").private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")


def by_another_authority(folder):
    trustme.CA().cert_pem.write_to_path(folder / "ca.pem")
    trustme.CA().issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")


def cut_short(folder):
    (folder / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    (folder / "server.pem").write_text("")


@pytest.mark.parametrize("damage", [expired, for_another_name, by_another_authority, cut_short])
def test_a_certificate_that_no_client_would_take_is_made_anew(tmp_path, damage):
    folder = tmp_path / "sandbox"
    folder.mkdir()
    damage(folder)
    with Sandbox(tmp_path) as sandbox, signed_in(sandbox) as client:
        assert client.noop()[0] == 250


def test_after_a_new_start_mailboxes_are_found_where_they_were_unless_somebody_else_is_there(tmp_path):
    with Sandbox(tmp_path) as first:
        ports = dict(first.ports)
    with Sandbox(tmp_path) as second:
        assert second.ports == ports
    with socket.create_server(("127.0.0.1", ports["imaps"])), Sandbox(tmp_path) as third:
        assert third.ports | {"imaps": ports["imaps"]} == ports
        assert third.ports["imaps"] != ports["imaps"]
        with signed_in(third) as client:
            assert client.noop()[0] == 250


@pytest.mark.parametrize("written", ["", "[]", '{"smtps": "x"}', '{"smtps": 1e9, "submission": -1, "imaps": 70000}'])
def test_remembered_ports_that_are_none_are_not_used(tmp_path, written):
    (tmp_path / "sandbox").mkdir()
    (tmp_path / "sandbox" / "ports.json").write_text(written)
    with Sandbox(tmp_path) as sandbox, signed_in(sandbox) as client:
        assert client.noop()[0] == 250


def test_a_sandbox_that_cannot_start_says_so_in_one_sentence_and_nothing_stays_open(tmp_path):
    threads = threading.active_count()
    (tmp_path / "sandbox").write_text("a file where a folder is needed")
    sandbox = Sandbox(tmp_path)
    with pytest.raises(SandboxError, match="cannot start: "):
        sandbox.start()
    assert threading.active_count() == threads
    with pytest.raises(SandboxError, match="not running"):
        sandbox.mailboxes()
    (tmp_path / "sandbox").unlink()
    with sandbox:
        assert all(sandbox.ports.values())


def test_stopping_ends_open_connections_and_starting_again_begins_empty(home):
    sandbox = Sandbox(home)
    with pytest.raises(SandboxError, match="not running"):
        sandbox.mailboxes()
    sandbox.start()
    with pytest.raises(SandboxError, match="running already"):
        sandbox.start()
    ports = dict(sandbox.ports)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(contextlib.closing(open_client(sandbox))) for _ in range(3)]
        with signed_in(sandbox) as client:
            client.send_message(mail())
        sandbox.stop()
        sandbox.stop()
        for one in clients:
            with contextlib.suppress(ConnectionError):
                assert one.recv(1000) == b""
    with sandbox:
        assert sandbox.ports == ports
        assert not any(mails for box in sandbox.mailboxes().values() for mails in box.values())


def open_client(sandbox):
    plain = socket.create_connection(("127.0.0.1", sandbox.ports["imaps"]), timeout=10)
    client = trusting(sandbox).wrap_socket(plain, server_hostname=sandbox.host)
    client.recv(1000)
    return client


def test_own_mailboxes_take_the_place_of_the_made_up_ones(home):
    with Sandbox(home, mailboxes={"Me@Here.test": "own"}) as sandbox:
        assert dict(sandbox.passwords) == {"me@here.test": "own"}
        assert set(sandbox.mailboxes()) == {"me@here.test", OUTSIDE}


def test_no_password_and_no_mail_comes_into_the_logs(sandbox, caplog):
    caplog.set_level(logging.DEBUG)
    with signed_in(sandbox) as client:
        client.send_message(mail("a secret subject"))
    with imaps(sandbox) as client:
        client.append("Sent", mail("a secret copy").as_bytes())
    encoded = base64.b64encode(f"\0{ANA}\0{sandbox.passwords[ANA]}".encode()).decode()
    ours = [one.getMessage() for one in caplog.records if not one.name.startswith("imapclient")]
    for secret in (sandbox.passwords[ANA], encoded, "a secret", ANA):
        assert not [line for line in ours if secret in line]
