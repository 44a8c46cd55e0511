"""The playground's stand-in for Microsoft, as the bot's own wire sees it, and its mail server, which takes tokens."""

import base64
import datetime as dt
import json
import smtplib
import ssl
import uuid
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
import requests
from imapclient import IMAPClient

from bot.clock import MovableClock
from bot.mail.knowledge.provider import Server
from bot.mail.wire import graph, oauth
from bot.mail.wire.account import Account, Token
from bot.mail.wire.imap import imap_session
from bot.mail.wire.probe import Failed, Worked, test_login
from bot.mail.wire.send import Accepted, Refused, compose, send
from bot.mail.wire.smtp import Deadline
from bot.playground import identity as room
from bot.playground.identity import ADDRESSES, CLIENT_ID, IMAP_ACCESS, SMTP_SEND, Identity
from bot.playground.identity_page import PATH, served_identity
from bot.playground.mail import INBOX, MAILBOXES, SENT, Sandbox
from bot.playground.xoauth2 import NO_PASSWORDS, WRONG_TOKEN
from flows.speech import sentence
from tests.faulty_smtp import loopback_network

SOL, LUA = ADDRESSES
ANA = "ana@sandbox.test"
CALLBACK = "http://127.0.0.1:9/oauth/microsoft/callback"
VERIFIER = "v" * 43
PATIENCE = 10


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def clock():
    return MovableClock()


@pytest.fixture(scope="module")
def running(home, clock):
    identity = Identity(CALLBACK, clock.now)
    with Sandbox(home, tokens=identity) as sandbox, served_identity(identity, sandbox.post) as url:
        yield identity, sandbox, url


@pytest.fixture
def identity(running):
    identity, sandbox, _ = running
    yield identity
    identity.consent = "person"
    identity._grants, identity._codes = [], []
    sandbox.refuse(None)


@pytest.fixture
def sandbox(running, identity):
    return running[1]


@pytest.fixture
def url(running):
    return running[2]


@pytest.fixture
def client(url, identity):
    endpoints = oauth.endpoints("microsoft", f"{url}{PATH}")
    return oauth.Client("microsoft", CLIENT_ID, identity.client_secret, endpoints)


@pytest.fixture
def network(sandbox, url):
    context = ssl.create_default_context(cafile=sandbox.ca_pem)
    return loopback_network(context, *sandbox.ports.values(), int(url.rpartition(":")[2]))


def asking(client, transport="smtp", **more):
    """Where the browser goes."""
    return oauth.authorization_url(
        client,
        **{
            "redirect_uri": CALLBACK,
            "scopes": oauth.scopes("microsoft", transport),
            "state": "a state",
            "nonce": str(uuid.uuid4()),
            "verifier": VERIFIER,
            "login_hint": SOL,
            **more,
        },
    )


def pressed(where, do="allow", address=SOL):
    """What the person does on the page, and where their browser is sent."""
    return requests.post(where, data={"do": do, "address": address}, allow_redirects=False, timeout=PATIENCE)


def callback(answer):
    """The query with which somebody comes back."""
    where = answer.headers["Location"]
    assert where.startswith(f"{CALLBACK}?")
    return dict(parse_qsl(urlsplit(where).query))


def signed_in(client, clock, transport="smtp", address=SOL):
    """The whole of it, and what it gives."""
    nonce = str(uuid.uuid4())
    code = oauth.check_callback(client, callback(pressed(asking(client, transport, nonce=nonce), address=address)))
    return exchanged(client, clock, code, nonce)


def exchanged(client, clock, code, nonce, **more):
    return oauth.exchange(
        client,
        **{
            "code": code,
            "verifier": VERIFIER,
            "redirect_uri": CALLBACK,
            "nonce": nonce,
            "now": clock.now().timestamp(),
            **more,
        },
    )


def refused(call):
    with pytest.raises(oauth.Refused) as caught:
        call()
    return caught.value


# --- signing in -------------------------------------------------------------------------------------------------------


def test_who_signs_in_and_allows_comes_back_with_a_code_that_gives_tokens_and_proves_who_it_was(client, clock, url):
    granted = signed_in(client, clock)
    assert granted.identity.addresses == (SOL,)
    assert granted.identity.issuer == f"{url}{PATH}"
    assert granted.identity.tenant
    assert set(granted.scopes) == set(oauth.scopes("microsoft", "smtp"))
    assert granted.expires_in == 3600


def test_it_says_of_itself_where_everything_is_and_that_it_names_itself_in_each_callback(client):
    assert client.endpoints.tells_issuer
    assert client.endpoints.revoke
    assert callback(pressed(asking(client)))["iss"] == client.endpoints.issuer


def test_the_public_keys_hold_nothing_private(client):
    (key,) = requests.get(client.endpoints.jwks, timeout=PATIENCE).json()["keys"]
    assert set(key) == {"kty", "n", "e", "use", "alg", "kid"}


def test_what_was_granted_is_in_the_time_of_the_playground(client, clock):
    clock.move(dt.timedelta(days=3))
    assert signed_in(client, clock).identity.addresses == (SOL,)


def test_who_denies_comes_back_with_that(client, clock):
    told = refused(lambda: oauth.check_callback(client, callback(pressed(asking(client), do="deny"))))
    assert (told.error, told.cause) == ("access_denied", "denied")


@pytest.mark.parametrize("do", ["allow", "deny", ""])
def test_where_an_administrator_has_to_approve_nobody_is_let_in(client, identity, do):
    identity.consent = "admin"
    told = refused(lambda: oauth.check_callback(client, callback(pressed(asking(client), do=do))))
    assert (told.cause, told.hint) == (("consent", "AADSTS90094") if do == "allow" else ("denied", ""))


def test_where_an_administrator_has_to_approve_it_does_not_matter_who_asks(client, identity):
    identity.consent = "admin"
    answer = callback(pressed(asking(client, login_hint=""), address="nobody@office.test"))
    assert answer["error_description"].startswith("AADSTS90094")


def test_an_administrator_who_allowed_reading_has_it_granted_unasked_beside_sending(client, clock, identity):
    identity.consent = "reading"
    assert IMAP_ACCESS in signed_in(client, clock).scopes
    assert IMAP_ACCESS not in signed_in(client, clock, "graph").scopes


def test_an_account_that_is_not_there_is_said_on_the_page(client):
    answer = pressed(asking(client), address="nobody@office.test")
    assert answer.status_code == 400
    assert 'aria-invalid="true"' in answer.text
    assert 'value="nobody@office.test"' in answer.text


def test_the_page_is_in_the_language_that_was_chosen_or_that_the_browser_asks_for(client):
    for language in ("en", "pt", "es"):
        title = sentence("playground.identity.about", language).replace("'", "&#39;")
        for headers in ({"Accept-Language": f"fr, {language}"}, {"Cookie": f"playground_language={language}"}):
            assert title in requests.get(asking(client), headers=headers, timeout=PATIENCE).text
    assert "<script" not in requests.get(asking(client, login_hint='"><script>'), timeout=PATIENCE).text


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("client_id", "another"),
        ("client_id", ""),
        ("redirect_uri", f"{CALLBACK}/"),
        ("redirect_uri", "https://evil.example/"),
        ("redirect_uri", ""),
    ],
)
def test_to_a_stranger_nobody_is_ever_sent_back(client, part, value):
    where = changed(asking(client), part, value)
    for answer in (requests.get(where, allow_redirects=False, timeout=PATIENCE), pressed(where)):
        assert answer.status_code == 400
        assert "Location" not in answer.headers


@pytest.mark.parametrize(
    ("part", "value", "error"),
    [
        ("code_challenge", "", "invalid_request"),
        ("code_challenge_method", "plain", "invalid_request"),
        ("code_challenge_method", "", "invalid_request"),
        ("nonce", "", "invalid_request"),
        ("response_type", "token", "unsupported_response_type"),
    ],
)
def test_without_a_code_a_proof_and_a_nonce_nobody_is_asked(client, part, value, error):
    answer = requests.get(changed(asking(client), part, value), allow_redirects=False, timeout=PATIENCE)
    told = callback(answer)
    assert (told["error"], told["state"], told["iss"]) == (error, "a state", client.endpoints.issuer)


def changed(where, part, value):
    before, _, query = where.partition("?")
    pairs = dict(parse_qsl(query)) | {part: value}
    return f"{before}?{urlencode({name: value for name, value in pairs.items() if value})}"


def test_a_nonce_is_good_for_one_sign_in(client):
    where = asking(client)
    assert "code" in callback(pressed(where))
    assert callback(pressed(where))["error"] == "invalid_request"


def test_what_is_too_long_is_not_read(client, url):
    assert requests.get(asking(client, state="x" * 9000), timeout=PATIENCE).status_code == 400
    answer = requests.post(client.endpoints.token, data={"code": "x" * 20_000}, timeout=PATIENCE)
    assert answer.status_code == 413


def test_other_sites_do_not_get_through_by_another_name(client):
    answer = requests.get(asking(client), headers={"Host": "evil.example:80"}, timeout=PATIENCE)
    assert answer.status_code == 403


# --- codes and tokens -------------------------------------------------------------------------------------------------


def code_of(client):
    nonce = str(uuid.uuid4())
    return oauth.check_callback(client, callback(pressed(asking(client, nonce=nonce)))), nonce


@pytest.mark.parametrize("wrong", [{"verifier": "w" * 43}, {"redirect_uri": "http://127.0.0.1:9/other"}])
def test_a_code_needs_its_verifier_and_its_redirect_and_is_lost_without(client, clock, wrong):
    code, nonce = code_of(client)
    assert refused(lambda: exchanged(client, clock, code, nonce, **wrong)).error == "invalid_grant"
    assert refused(lambda: exchanged(client, clock, code, nonce)).error == "invalid_grant"


def test_a_code_needs_the_secret_of_its_app(client, clock):
    code, nonce = code_of(client)
    stranger = oauth.Client("microsoft", CLIENT_ID, "guessed", client.endpoints)
    assert refused(lambda: exchanged(stranger, clock, code, nonce)).cause == "ours"
    public = oauth.Client("microsoft", CLIENT_ID, "", client.endpoints)
    assert refused(lambda: exchanged(public, clock, code, nonce)).cause == "ours"


def test_a_code_that_is_used_again_ends_what_it_gave(client, clock, identity):
    code, nonce = code_of(client)
    granted = exchanged(client, clock, code, nonce)
    assert identity.opens(SOL, granted.access, SMTP_SEND)
    assert refused(lambda: exchanged(client, clock, code, nonce)).error == "invalid_grant"
    assert not identity.opens(SOL, granted.access, SMTP_SEND)


def test_a_code_is_good_for_a_few_minutes(client, clock):
    code, nonce = code_of(client)
    clock.move(room.CODE_LIVES)
    assert refused(lambda: exchanged(client, clock, code, nonce)).error == "invalid_grant"


def test_a_refresh_token_is_good_once_and_used_twice_it_ends_all(client, clock, identity):
    first = signed_in(client, clock)
    second = oauth.refresh(client, first.refresh)
    assert second.refresh != first.refresh
    assert not identity.opens(SOL, first.access, SMTP_SEND)
    assert identity.opens(SOL, second.access, SMTP_SEND)
    assert refused(lambda: oauth.refresh(client, first.refresh)).cause == "revoked"
    assert not identity.opens(SOL, second.access, SMTP_SEND)
    assert refused(lambda: oauth.refresh(client, second.refresh)).cause == "revoked"


def test_an_access_token_ends_after_an_hour_and_a_refresh_token_after_ninety_days(client, clock, identity):
    granted = signed_in(client, clock)
    clock.move(room.ACCESS_LIVES)
    assert not identity.opens(SOL, granted.access, SMTP_SEND)
    granted = oauth.refresh(client, granted.refresh)
    assert identity.opens(SOL, granted.access, SMTP_SEND)
    clock.move(room.REFRESH_LIVES)
    assert refused(lambda: oauth.refresh(client, granted.refresh)).cause == "revoked"


def test_what_is_given_back_or_revoked_by_the_switch_is_over(client, clock, identity):
    first, second = signed_in(client, clock), signed_in(client, clock, address=LUA)
    oauth.revoke(client, first.refresh)
    oauth.revoke(client, first.refresh)
    assert not identity.opens(SOL, first.access, SMTP_SEND)
    assert identity.revoke_last() == LUA
    assert refused(lambda: oauth.refresh(client, second.refresh)).cause == "revoked"
    assert identity.revoke_last() == ""


def test_the_oldest_codes_and_grants_go_so_that_memory_has_an_end(client, clock, identity, monkeypatch):
    monkeypatch.setattr(room, "MAX_KEPT", 2)
    granted = [signed_in(client, clock) for _ in range(3)]
    assert [identity.opens(SOL, one.access, SMTP_SEND) for one in granted] == [False, True, True]
    assert len(identity._codes) == 2


# --- the mail server --------------------------------------------------------------------------------------------------


def account(sandbox, address=SOL, name="submission", security="starttls"):
    return Account(address, address, Server("localhost", sandbox.ports[name], security))


def mail(sender=SOL, to=ANA, subject="Oi"):
    return compose(
        sender=sender,
        name="Sol",
        to=[to],
        subject=subject,
        text="Até sexta.",
        date=dt.datetime(2026, 11, 25, tzinfo=dt.UTC),
        marker=str(uuid.uuid4()),
    )


def sent(sandbox, token, network, **more):
    return send(
        account(sandbox, **more),
        token,
        mail(),
        [ANA],
        network=network,
        provider="microsoft",
        on_accepted=lambda _: None,
    )


def test_a_token_signs_in_and_a_mail_arrives_with_its_copy_in_sent(client, clock, sandbox, network):
    token = Token(signed_in(client, clock).access)
    for name, security in (("submission", "starttls"), ("smtps", "tls")):
        here = account(sandbox, name=name, security=security)
        assert isinstance(test_login(here, token, network=network, provider="microsoft"), Worked)
    assert isinstance(sent(sandbox, token, network), Accepted)
    boxes = sandbox.mailboxes()
    assert boxes[ANA][INBOX][-1].sender.endswith(f"<{SOL}>")
    assert boxes[SOL][SENT][-1].subject == "Oi"


@pytest.mark.parametrize("address", [SOL, LUA, ANA])
def test_a_token_that_does_not_open_this_mailbox_is_refused_with_a_reason(client, clock, sandbox, network, address):
    granted = signed_in(client, clock)
    token = Token("made-up" if address == SOL else granted.access)
    found = test_login(account(sandbox, address), token, network=network, provider="microsoft")
    assert isinstance(found, Failed)
    assert (found.cause, found.token_refused, found.code) == ("wrong_credentials", True, 535)
    assert "token refused: status 401, schemes Bearer" in found.raw
    assert "5.7.3" in found.raw


def test_a_token_for_something_else_opens_nothing(client, clock, sandbox, network):
    token = Token(signed_in(client, clock, "graph").access)
    assert isinstance(sent(sandbox, token, network), Refused)


def test_a_password_is_refused_in_microsofts_words(sandbox, network, identity):
    found = test_login(account(sandbox), "a password", network=network, provider="microsoft")
    assert (found.cause, found.token_refused) == ("oauth_required_basic_auth_disabled", False)
    assert NO_PASSWORDS.partition(" ")[2].partition(" [")[0] in found.raw


def test_passwords_of_the_other_domain_work_as_before(sandbox, network, identity):
    assert isinstance(test_login(account(sandbox, ANA), MAILBOXES[ANA], network=network, provider=None), Worked)


def test_where_no_program_may_sign_in_a_good_token_is_none_either(client, clock, sandbox, network):
    token = Token(signed_in(client, clock).access)
    sandbox.refuse("auth_off")
    found = test_login(account(sandbox), token, network=network, provider="microsoft")
    assert (found.cause, found.token_refused) == ("smtp_auth_disabled_tenant_or_mailbox", False)


@pytest.mark.parametrize(
    ("lines", "answer"),
    [
        (["AUTH XOAUTH2 ?"], "501 5.5.2"),
        (["AUTH XOAUTH2", "*"], "501 5.7.0"),
        (["AUTH XOAUTH2", "bm9uc2Vuc2U=", ""], WRONG_TOKEN),
        (["AUTH XOAUTH2 bm9uc2Vuc2U=", ""], WRONG_TOKEN),
        (["AUTH XOAUTH2 bm9uc2Vuc2U=", "*"], "501 5.7.0"),
        (["AUTH XOAUTH2 bm9uc2Vuc2U=", "AQ=="], WRONG_TOKEN),
    ],
)
def test_whatever_a_client_says_instead_of_a_token_is_answered(sandbox, identity, lines, answer):
    context = ssl.create_default_context(cafile=sandbox.ca_pem)
    with smtplib.SMTP_SSL("localhost", sandbox.ports["smtps"], context=context, timeout=PATIENCE) as smtp:
        smtp.ehlo()
        replies = [smtp.docmd(line) for line in lines]
        assert all(code == 334 for code, _ in replies[:-1])
        code, words = replies[-1]
        assert f"{code} {words.decode()}".startswith(answer)
        assert smtp.noop()[0] == 250


def test_a_server_without_sign_in_offers_none(tmp_path):
    with Sandbox(tmp_path) as plain:
        context = ssl.create_default_context(cafile=plain.ca_pem)
        with smtplib.SMTP_SSL("localhost", plain.ports["smtps"], context=context, timeout=PATIENCE) as smtp:
            smtp.ehlo()
            assert smtp.esmtp_features["auth"].split() == ["LOGIN", "PLAIN"]
        with IMAPClient("localhost", plain.ports["imaps"], ssl_context=context, timeout=PATIENCE) as imap:
            assert b"AUTH=XOAUTH2" not in imap.capabilities()


def test_a_token_that_may_read_opens_the_mailbox_over_imap_and_another_one_does_not(
    client, clock, sandbox, network, identity
):
    identity.consent = "reading"
    reading = Token(signed_in(client, clock).access)
    assert isinstance(sent(sandbox, reading, network), Accepted)
    server = Server("localhost", sandbox.ports["imaps"], "tls")
    with imap_session(server, SOL, reading, network, Deadline(PATIENCE)) as session:
        assert session.select_folder(SENT)[b"EXISTS"] >= 1
    identity.consent = "person"
    sending = Token(signed_in(client, clock).access)
    with pytest.raises(Exception, match="token refused: status 401"):
        opened(server, SOL, sending, network)
    with pytest.raises(Exception, match="token refused: status 401"):
        opened(server, LUA, reading, network)


def opened(server, user, token, network):
    with imap_session(server, user, token, network, Deadline(PATIENCE)):
        pytest.fail("it was let in")


# --- Graph ------------------------------------------------------------------------------------------------------------


def by_graph(sandbox, token, network, url, sender=SOL):
    message = mail(sender=sender, subject="Past the server")
    here = account(sandbox, sender)
    return graph.send(here, token, message, [ANA], network=network, on_accepted=lambda _: None, url=url)


def test_graph_delivers_into_the_mailboxes_also_where_no_program_may_sign_in(client, clock, sandbox, network, url):
    sandbox.refuse("auth_off")
    token = Token(signed_in(client, clock, "graph").access)
    assert isinstance(graph.test_login(account(sandbox), token, network=network, url=url), Worked)
    assert isinstance(by_graph(sandbox, token, network, url), Accepted)
    boxes = sandbox.mailboxes()
    assert boxes[ANA][INBOX][-1].subject == "Past the server"
    assert boxes[SOL][SENT][-1].subject == "Past the server"


def test_graph_takes_neither_another_token_nor_another_sender(client, clock, sandbox, network, url):
    unknown = by_graph(sandbox, Token("made-up"), network, url)
    assert (unknown.cause, unknown.token_refused) == ("wrong_credentials", True)
    smtp = Token(signed_in(client, clock).access)
    assert isinstance(by_graph(sandbox, smtp, network, url), Refused)
    token = Token(signed_in(client, clock, "graph").access)
    assert by_graph(sandbox, token, network, url, sender=LUA).cause == "sender_not_allowed"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"no base64!", "ErrorMimeContentInvalidBase64String"),
        (b"", "ErrorMimeContentInvalid"),
        (base64.b64encode(f"From: {SOL}\r\n\r\nOi".encode()), "ErrorInvalidRecipients"),
    ],
)
def test_graph_refuses_what_is_no_mail(client, clock, url, body, code):
    headers = {"Authorization": f"Bearer {signed_in(client, clock, 'graph').access}", "Content-Type": "text/plain"}
    answer = requests.post(f"{url}/v1.0/me/sendMail", data=body, headers=headers, timeout=PATIENCE)
    assert (answer.status_code, json.loads(answer.text)["error"]["code"]) == (400, code)


def test_who_is_written_to_in_secret_is_named_in_no_mail(client, clock, sandbox, url):
    headers = {"Authorization": f"Bearer {signed_in(client, clock, 'graph').access}", "Content-Type": "text/plain"}
    raw = f"From: {SOL}\r\nTo: {ANA}\r\nBcc: bruno@sandbox.test\r\nSubject: secret\r\n\r\nOi\r\n".encode()
    where = f"{url}/v1.0/me/sendMail"
    assert requests.post(where, data=base64.b64encode(raw), headers=headers, timeout=PATIENCE).status_code == 202
    context = ssl.create_default_context(cafile=sandbox.ca_pem)
    with IMAPClient("localhost", sandbox.ports["imaps"], ssl_context=context, timeout=PATIENCE) as imap:
        imap.login("bruno@sandbox.test", MAILBOXES["bruno@sandbox.test"])
        imap.select_folder(INBOX, readonly=True)
        (seen,) = imap.fetch(imap.search()[-1], ["BODY.PEEK[]"]).values()
    assert b"Subject: secret" in seen[b"BODY[]"]
    assert b"Bcc" not in seen[b"BODY[]"]
