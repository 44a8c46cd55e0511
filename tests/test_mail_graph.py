"""Sending through Microsoft Graph: each answer told apart, and never a mail sent twice or said to be sent."""

import datetime as dt
import logging
from dataclasses import replace

import pytest
import trustme

from bot.mail.knowledge.provider import Server
from bot.mail.wire import graph
from bot.mail.wire.account import Account, BadCredential, Token
from bot.mail.wire.probe import Worked
from bot.mail.wire.send import Accepted, Attachment, BadMessage, Later, Refused, Unknown, compose
from tests.faulty_smtp import IMPATIENT, QUICK, client_context, hanging, loopback_network, server_context
from tests.graph_server import GraphServer
from tests.oidc import GRAPH_SCOPE, SMTP_SCOPE

ANA, BIA, CLEO = "ana@agencia.test", "bia@cliente.test", "cleo@cliente.test"
TOKEN = Token("EwB4A8l6BAAU.secret-access~token")
ACCOUNT = Account(ANA, ANA, Server("smtp.office365.com", 587, "starttls"))


class Known:
    """Tokens without a provider: this one is Ana's, and alive."""

    def introspect(self, token):
        known = {"active": True, "email": ANA, "scope": f"openid {GRAPH_SCOPE}"}
        return known if token == TOKEN.value else {"active": False}


@pytest.fixture
def server():
    with GraphServer(Known()) as server:
        yield server


def written(*, to=(BIA,), bcc=(), sender=ANA, text="Olá!\n.\nfim", **more):
    date = dt.datetime(2026, 11, 25, 10, 30, tzinfo=dt.UTC)
    return compose(
        sender=sender, name="Ana", to=to, bcc=bcc, subject="Oi", text=text, date=date, marker="m" * 8, **more
    )


class Sending:
    """One mail on its way, and what was told of it meanwhile."""

    def __init__(self, server, timeouts=QUICK):
        self.server, self.timeouts = server, timeouts
        self.told = []

    def __call__(self, message=None, recipients=(BIA,), *, token=TOKEN, url=None, context=None):
        network = loopback_network(context or client_context(), timeouts=self.timeouts)
        return graph.send(
            ACCOUNT,
            token,
            message or written(),
            recipients,
            network=network,
            on_accepted=lambda reply: self.told.append(f"accepted {reply}"),
            on_handing=lambda: self.told.append("handing"),
            url=url or self.server.url,
        )


@pytest.fixture
def sending(server):
    return Sending(server)


def login(server, token=TOKEN, url=None, timeouts=QUICK, watch=None):
    network = loopback_network(client_context(), timeouts=timeouts)
    more = {"watch": watch} if watch else {}
    return graph.test_login(ACCOUNT, token, network=network, url=url or server.url, **more)


def test_a_mail_is_taken_delivered_and_filed(server, sending):
    outcome = sending()
    assert isinstance(outcome, Accepted)
    assert sending.told == ["handing", "accepted 202 accepted"]
    [arrived] = server.folder(BIA)
    assert arrived.get_content() == "Olá!\n.\nfim\n"
    assert [mail["Message-ID"] for mail in server.folder(ANA, "Sent Items")] == [written()["Message-ID"]]
    [call] = server.calls
    assert call.what == "POST /v1.0/me/sendMail"
    assert call.headers["Content-Type"] == "text/plain"
    assert call.headers["Authorization"] == f"Bearer {TOKEN.value}"


def test_bcc_reaches_its_people_and_is_seen_by_the_sender_only(server, sending):
    assert isinstance(sending(written(bcc=[CLEO]), [BIA, CLEO]), Accepted)
    assert server.folder(CLEO)[0]["Bcc"] is None
    assert server.folder(ANA, "Sent Items")[0]["Bcc"] == CLEO


def test_a_mail_with_files_goes_out_as_it_is(server, sending):
    file = Attachment("a.pdf", "application/pdf", b"%PDF" * 50_000)
    assert isinstance(sending(written(attachments=[file])), Accepted)
    [part] = server.folder(BIA)[0].iter_attachments()
    assert part.get_content() == file.content


def test_recipients_who_are_not_those_of_the_mail_are_stopped_before_a_byte_is_sent(server, sending):
    for wrong in ([CLEO], [BIA, CLEO]):
        with pytest.raises(BadMessage):
            sending(recipients=wrong)
    with pytest.raises(BadMessage):
        sending(written(bcc=[CLEO]), [BIA])
    with pytest.raises(BadCredential):
        sending(token=Token("a\r\nb"))
    assert server.calls == []


@pytest.mark.parametrize("url", ["http://graph.example", "ftp://127.0.0.1", "https://a:b@graph.example", "graph", ""])
def test_a_token_goes_nowhere_but_to_https_or_this_machine(sending, url):
    with pytest.raises(ValueError, match="not"):
        sending(url=url or "/")


def relayed(server, head, recipients=(BIA,)):
    content = head + b"\r\n\r\nHello\r\n"
    network = loopback_network(client_context(), timeouts=QUICK)
    ends = {"on_accepted": lambda _reply: None, "on_handing": lambda: None}
    return graph.relay(ACCOUNT, TOKEN, content, recipients, network=network, url=server.url, **ends)


ODD = {
    "somebody beside": b"To: eve@evil.test",
    "a header that ends for some": b"X-Foo : 1\r\nTo: eve@evil.test",
    "a group in a group": b"To: " + b"a:;" * 600,
    "nested a thousand times": b"To: " + b"(" * 1_900,
    "longer than anybody reads": b"To: " + b"a " * 20_000 + f"<{BIA}>".encode(),
    "read in two ways": f"To: {BIA} eve@evil.test".encode(),
}


@pytest.mark.parametrize("odd", ODD)
def test_whom_a_header_may_name_beside_its_recipients_is_never_left_to_graph(server, odd):
    with pytest.raises(BadMessage, match="recipients"):
        relayed(server, f"From: {ANA}\r\n".encode() + ODD[odd])
    assert server.calls == []


def test_a_header_is_read_once_however_many_recipients_there_are(server, monkeypatch):
    read = []
    monkeypatch.setattr(graph, "_addressed", lambda head: read.append(head) or set())
    relayed(server, f"From: {ANA}".encode(), tuple(f"p{number}@agency.test" for number in range(100)))
    assert len(read) == 1


def test_a_dot_in_a_name_and_a_name_in_eight_bits_do_no_harm(server):
    head = f"From: {ANA}\r\nTo: Dr. Bia <{BIA}>\r\nCc: ".encode() + "João <joao@client.test>".encode()
    assert isinstance(relayed(server, head, (BIA, "joao@client.test")), Accepted)


def test_a_mail_too_large_for_graph_is_refused_without_asking(server, sending):
    file = Attachment("a.bin", "application/octet-stream", b"\0" * 3_000_000)
    outcome = sending(written(attachments=[file]))
    assert (type(outcome), outcome.cause, outcome.stage) == (Refused, "message_too_large", "data")
    assert server.calls == []
    assert sending.told == []


def test_a_refused_token_is_told_apart(server, sending):
    outcome = sending(token=Token("expired"))
    assert (type(outcome), outcome.stage, outcome.cause) == (Refused, "auth", "wrong_credentials")
    assert (outcome.token_refused, outcome.blames_secret, outcome.who) == (True, False, "user")
    found = login(server, Token("expired"))
    assert (found.stage, found.cause, found.token_refused, found.blames_secret) == (
        "auth",
        "wrong_credentials",
        True,
        False,
    )


def test_a_sender_who_is_not_the_owner_is_refused(sending):
    outcome = sending(written(sender=CLEO))
    assert (type(outcome), outcome.cause, outcome.token_refused) == (Refused, "sender_not_allowed", False)


@pytest.mark.parametrize(
    ("status", "code", "cause", "who"),
    [
        (400, "ErrorMimeContentInvalidBase64String", "content_rejected_spam_policy", "us"),
        (400, "ErrorInvalidRecipients", "recipient_rejected", "user"),
        (400, "SomethingNew", "content_rejected_spam_policy", "us"),
        (403, "ErrorAccessDenied", "smtp_auth_disabled_tenant_or_mailbox", "agency_admin"),
        (403, "Authorization_RequestDenied", "smtp_auth_disabled_tenant_or_mailbox", "agency_admin"),
        (403, "ErrorSendAsDenied", "sender_not_allowed", "agency_admin"),
        (403, "ErrorAccountSuspend", "account_locked_or_web_login_required", "user"),
        (403, "", "smtp_auth_disabled_tenant_or_mailbox", "agency_admin"),
        (404, "MailboxNotEnabledForRESTAPI", "smtp_auth_disabled_tenant_or_mailbox", "agency_admin"),
        (413, "", "message_too_large", "user"),
    ],
)
def test_each_refusal_has_its_cause(server, sending, status, code, cause, who):
    server.fail(status, code=code)
    outcome = sending()
    assert (type(outcome), outcome.cause, outcome.who, outcome.token_refused) == (Refused, cause, who, False)
    assert server.folder(BIA) == []
    assert "accepted" not in " ".join(sending.told)


@pytest.mark.parametrize(
    ("status", "code", "cause"),
    [
        (429, "ApplicationThrottled", "rate_limited"),
        (429, "", "rate_limited"),
        (403, "ErrorExceededMessageLimit", "daily_quota_exceeded"),
        (503, "ErrorServerBusy", "server_temporary_failure"),
        (503, "", "server_temporary_failure"),
    ],
)
def test_what_passes_is_later_with_the_time_that_is_asked_for(server, sending, status, code, cause):
    server.fail(status, code=code, headers={"Retry-After": "7"})
    outcome = sending()
    assert (type(outcome), outcome.cause, outcome.wait) == (Later, cause, 7.0)


@pytest.mark.parametrize(("told", "wait"), [("", 0.0), ("soon", 0.0), ("-1", 0.0), ("9" * 40, 3600.0), ("²", 0.0)])
def test_a_strange_time_to_wait_does_no_harm(server, sending, told, wait):
    server.fail(429, headers={"Retry-After": told.encode().decode("latin-1")})
    assert sending().wait == wait


@pytest.mark.parametrize("how", [500, 502, 504, 507, 301, "lose", "late", "garbage"])
def test_who_may_have_sent_it_before_failing_leaves_it_unknown(server, sending, how):
    server.fail(how, code="InternalServerError")
    outcome = sending()
    assert isinstance(outcome, Unknown)
    assert sending.told == ["handing"]
    assert len(server.folder(BIA)) == (how == "lose")


def test_silence_after_the_mail_is_unknown(server):
    server.fail("hang")
    sending = Sending(server, IMPATIENT)
    assert isinstance(sending(), Unknown)


def test_a_connection_lost_before_all_was_said_is_later(server, sending):
    server.fail("drop")
    outcome = sending(written(attachments=[Attachment("a.bin", "application/octet-stream", b"\0" * 2_000_000)]))
    assert (type(outcome), outcome.stage, outcome.cause) == (Later, "data", "connection_dropped")
    assert sending.told == []


def test_nobody_there_is_no_mail_sent(sending):
    outcome = sending(url="http://127.0.0.1:1")
    assert (type(outcome), outcome.stage, outcome.cause) == (Refused, "connect", "connection_refused")
    with hanging("127.0.0.1") as port:
        silent = Sending(None, replace(QUICK, connect=0.3))(url=f"http://127.0.0.1:{port}")
    assert (type(silent), silent.stage) == (Later, "connect")


def test_a_certificate_that_proves_nothing_stops_before_the_token_is_said():
    authority = trustme.CA()
    with GraphServer(Known(), server_context(authority, "localhost"), "localhost") as server:
        sending = Sending(server)
        assert (sending().stage, server.calls) == ("tls", [])
        assert isinstance(sending(context=client_context(authority)), Accepted)


def test_the_live_test_goes_through_its_stages_and_sends_nothing(server):
    watched = []
    found = login(server, watch=lambda stage, seconds, *, ok: watched.append((stage, ok)))
    assert isinstance(found, Worked)
    assert found.stages == ("input", "dns", "connect", "auth")
    assert watched == [("input", True), ("dns", True), ("connect", True), ("auth", True)]
    assert (found.server, found.size) == (ACCOUNT.server, graph.MAX_MAIL)
    assert server.folder(ANA, "Sent Items") == []


@pytest.mark.parametrize(
    ("how", "code", "cause", "retry"),
    [
        (403, "ErrorAccessDenied", "smtp_auth_disabled_tenant_or_mailbox", False),
        (429, "", "rate_limited", True),
        (500, "InternalServerError", "server_temporary_failure", True),
        (503, "", "server_temporary_failure", True),
        (404, "MailboxNotEnabledForRESTAPI", "smtp_auth_disabled_tenant_or_mailbox", False),
        (301, "", "server_temporary_failure", True),
        ("drop", "", "connection_dropped", True),
    ],
)
def test_the_live_test_fails_with_its_cause(server, how, code, cause, retry):
    server.fail(how, code=code)
    found = login(server)
    assert (found.stage, found.cause, found.retry, found.token_refused) == ("auth", cause, retry, False)
    assert found.answered


def test_a_graph_that_took_even_what_is_no_mail_has_taken_the_token(server):
    server.fail(202)
    assert isinstance(login(server), Worked)


def test_the_live_test_of_nobody_fails_at_connect(server):
    found = login(server, url="http://127.0.0.1:1")
    assert (found.stage, found.cause, found.answered) == ("connect", "connection_refused", False)
    assert login(server, Token("no token")).stage == "input"


def test_a_token_that_graph_repeats_is_in_no_text(server, sending, caplog):
    caplog.set_level(logging.DEBUG)
    texts = []
    for status in (400, 401, 403, 429, 500, 503):
        server.fail(status, code="Error", message=f"no: Bearer {TOKEN.value} {TOKEN.value}", times=2)
        texts += [repr(sending()), repr(login(server))]
    assert TOKEN.value not in " ".join([*texts, caplog.text])
    assert "secret-access" not in " ".join(texts)


def test_an_answer_without_end_is_read_no_further(server, sending):
    server.fail(403, code="ErrorSendAsDenied", message="x" * 1_000_000)
    assert sending().cause == "smtp_auth_disabled_tenant_or_mailbox"  # what the status says


@pytest.mark.world
def test_a_real_token_needs_the_permission_to_send(oidc):
    with GraphServer(oidc) as server:
        right = Token(oidc.grant(ANA, [GRAPH_SCOPE])[0])
        wrong = Token(oidc.grant(ANA, [SMTP_SCOPE])[0])
        assert isinstance(login(server, right), Worked)
        assert isinstance(Sending(server)(token=right), Accepted)
        outcome = Sending(server)(token=wrong)
        assert (outcome.cause, outcome.token_refused) == ("smtp_auth_disabled_tenant_or_mailbox", False)
        oidc.move_clock(3601)
        assert Sending(server)(token=right).token_refused
