"""Signing in with an access token: what is said, what a refusal tells, and that the token is in no text."""

import base64
import datetime as dt
import json
import logging
import uuid
from contextlib import contextmanager

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from bot.mail.knowledge.provider import Server
from bot.mail.wire import xoauth2
from bot.mail.wire.account import Account, BadCredential, Token, check_account
from bot.mail.wire.probe import Worked, test_login
from bot.mail.wire.send import Accepted, Later, Refused, compose, send
from bot.mail.wire.sent_folder import arrived, prove, resolve_unknown
from tests.faulty_imap import FaultyIMAP
from tests.faulty_smtp import CLOSE, FaultySMTP, client_context, loopback_network, server_context

ADDRESS = "ana@agency.example"
TOKEN = Token("ya29.a0AfB_secret-Access~Token+/=")
OFFER = "250-mail.example.test\r\n250-SIZE 10000000\r\n250-AUTH LOGIN PLAIN XOAUTH2\r\n250 HELP"
WHY = {"status": "401", "schemes": "Bearer", "scope": "https://mail.google.com/"}
GMAIL = "535 5.7.8 Username and Password not accepted. https://support.google.com/mail/?p=BadCredentials x - gsmtp"
SWITCHED_OFF = (
    "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit "
    "https://aka.ms/smtp_auth_disabled for more information. [AM0PR04CA0001.eurprd04.prod.outlook.com]"
)
OURS = "<0f9d4c1e@agency.example>"
MAIL = f"Message-ID: {OURS}\r\n\r\nOi\r\n".encode()


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def good(authority):
    return server_context(authority, "localhost")


@pytest.fixture(scope="module")
def client(authority):
    return client_context(authority)


def encoded(challenge):
    return base64.b64encode(json.dumps(challenge).encode()).decode()


@pytest.fixture
def smtp(good, client):
    @contextmanager
    def started(**replies):
        with FaultySMTP(good, "tls", **{"ehlo_tls": OFFER, **replies}) as server:
            server.network = loopback_network(client, server.port)
            server.account = Account(ADDRESS, ADDRESS, Server("localhost", server.port, "tls"))
            yield server

    return started


@pytest.fixture
def imap(good, client):
    @contextmanager
    def started(capabilities="IMAP4rev1 AUTH=XOAUTH2 AUTH=PLAIN", **replies):
        with FaultyIMAP(good, "tls", capabilities=capabilities, **replies) as server:
            server.network = loopback_network(client, server.port)
            server.account = Account(ADDRESS, ADDRESS, Server("localhost", server.port, "tls"))
            yield server

    return started


def login(server, token=TOKEN, provider=None):
    return test_login(server.account, token, network=server.network, provider=provider)


def sent(server, token=TOKEN, provider=None):
    message = compose(
        sender=ADDRESS,
        name="Ana",
        to=["bia@client.example"],
        subject="Oi",
        text="Oi",
        date=dt.datetime(2026, 11, 25, tzinfo=dt.UTC),
        marker=str(uuid.uuid4()),
    )
    return send(
        server.account,
        token,
        message,
        ["bia@client.example"],
        network=server.network,
        provider=provider,
        on_accepted=lambda _: None,
    )


def proved(server, token=TOKEN, *, server_files=True):
    return prove(
        server.account, token, MAIL, OURS, network=server.network, server_files=server_files, sleep=lambda _: None
    )


def test_a_token_is_said_at_once_and_signs_in(smtp):
    with smtp() as server:
        assert isinstance(login(server), Worked)
        assert isinstance(sent(server), Accepted)
    assert server.sign_ins == [(ADDRESS, TOKEN.value)] * 2
    assert [auth.split(" ")[:2] for auth in server.auths] == [["AUTH", "XOAUTH2"]] * 2


def test_what_is_said_is_what_googles_documentation_shows():
    token = Token("ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg")
    shown = "dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNSbGNrQmhkSFJoZG1semRHRXVZMjl0Q2cBAQ=="  # fmt: skip  # noqa: E501
    assert base64.b64encode(xoauth2.response("someuser@example.com", token).encode()).decode() == shown


def test_a_refused_token_has_its_challenge_answered_by_an_empty_line_and_explained(smtp):
    with smtp(challenge=encoded(WHY), auth=GMAIL) as server:
        found, outcome = login(server, provider="google"), sent(server, provider="google")
    assert server.after_challenge == ["", ""]
    assert len(server.auths) == 2
    assert (found.stage, found.cause, found.who, found.code) == ("auth", "wrong_credentials", "user", 535)
    assert (found.token_refused, found.blames_secret) == (True, False)
    assert "token refused: status 401, schemes Bearer, scope https://mail.google.com/" in found.raw
    assert isinstance(outcome, Refused)
    assert (outcome.cause, outcome.token_refused, outcome.blames_secret) == ("wrong_credentials", True, False)


def test_a_wrong_password_is_no_refused_token(smtp):
    with smtp(auth=GMAIL) as server:
        found, outcome = login(server, "a password", "google"), sent(server, "a password", "google")
    assert (found.cause, found.token_refused, found.blames_secret) == ("app_password_required", False, True)
    assert (outcome.token_refused, outcome.blames_secret) == (False, True)


@pytest.mark.parametrize(
    ("reply", "cause", "who", "refused"),
    [
        (
            SWITCHED_OFF,
            "smtp_auth_disabled_tenant_or_mailbox",
            "agency_admin",
            False,
        ),
        (
            "535 5.7.139 Authentication unsuccessful, the user credentials were incorrect. [X.PROD.OUTLOOK.COM]",
            "wrong_credentials",
            "user",
            True,
        ),
        ("535 5.7.3 Authentication unsuccessful [X.prod.outlook.com]", "wrong_credentials", "user", True),
        ("535 5.7.139 Authentication unsuccessful, security defaults policy", "smtp_auth_disabled_tenant_or_mailbox",
         "agency_admin", False),
        ("454 4.7.0 Temporary authentication failure", "server_temporary_failure", "wait", False),
        ("421 4.3.2 Service not available", "server_temporary_failure", "wait", False),
    ],
)  # fmt: skip
def test_what_microsoft_says_to_a_token_is_told_apart(smtp, reply, cause, who, refused):
    with smtp(auth=reply) as server:
        found = login(server, provider="microsoft")
    assert (found.cause, found.who, found.token_refused, found.blames_secret) == (cause, who, refused, False)


def test_a_refusal_for_now_is_later_and_blames_nothing(smtp):
    with smtp(auth="454 4.7.0 Temporary authentication failure") as server:
        assert isinstance(sent(server), Later)


@pytest.mark.parametrize("offer", ["AUTH PLAIN LOGIN", "HELP"])
def test_a_server_without_xoauth2_never_hears_the_token(smtp, imap, offer):
    with smtp(ehlo_tls=f"250-mail.example.test\r\n250 {offer}") as server:
        found = login(server)
    assert (server.auths, found.cause, found.token_refused) == ([], "relay_denied_auth_required", False)
    with imap(capabilities="IMAP4rev1 AUTH=PLAIN") as server:
        copy = proved(server)
    assert (server.sign_ins, copy.state, copy.cause) == ([], "no_imap", "relay_denied_auth_required")
    assert not copy.token_refused


@pytest.mark.parametrize(
    "challenge",
    ["", "not base64!", encoded(["a list"]), encoded({"status": {"deep": 1}, "scope": "a\r\nb" * 500}), "e30=", "/w=="],
)
def test_a_challenge_of_any_form_is_answered_and_ends_in_the_refusal(smtp, challenge):
    with smtp(challenge=challenge, auth="535 5.7.8 no") as server:
        found = login(server)
    assert server.after_challenge == [""]
    assert (found.stage, found.token_refused) == ("auth", True)
    assert len(found.raw) <= 500
    assert "\n" not in found.raw


def test_a_connection_that_ends_after_the_challenge_is_no_refused_token(smtp):
    with smtp(challenge=encoded(WHY), auth=CLOSE) as server:
        found = login(server)
    assert (found.stage, found.cause, found.token_refused) == ("auth", "connection_dropped", False)


def test_a_token_too_long_for_one_line_is_said_after_the_servers_prompt(smtp):
    long = Token("e" * 8192)
    with smtp() as server:
        assert isinstance(login(server, Token("e" * 6000)), Worked)
        assert isinstance(login(server, long), Worked)
    assert server.sign_ins[1] == (ADDRESS, long.value)
    assert len(server.auths) == 2


@pytest.mark.parametrize("user", [f"{ADDRESS}\1auth=Bearer other", "no address", f" {ADDRESS}", f"<{ADDRESS}>", "a\nb"])
def test_a_user_that_forges_a_field_or_is_no_address_is_stopped_before_a_byte_is_sent(smtp, imap, user):
    account = Account(ADDRESS, user, Server("localhost", 1, "tls"))
    with pytest.raises(BadCredential):
        check_account(account, TOKEN)
    with smtp() as server:
        server.account = Account(ADDRESS, user, server.account.server)
        assert login(server).stage == "input"
        with pytest.raises(BadCredential):
            sent(server)
        assert server.connections == 0
    with imap() as server:
        server.account = Account(ADDRESS, user, server.account.server)
        with pytest.raises(BadCredential):
            proved(server)
        assert server.connections == 0


@pytest.mark.parametrize("value", ["", "a b", "a\1b", "a\r\nb", "ä", "e" * 8193, "a\0"])
def test_what_is_no_token_is_stopped_too(value):
    with pytest.raises(BadCredential):
        check_account(Account(ADDRESS, ADDRESS, Server("localhost", 1, "tls")), Token(value))


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_user_and_no_token_make_a_third_field(user, value):
    try:
        said = xoauth2.response(user, Token(value))
    except BadCredential:
        return
    assert said == f"user={user}\1auth=Bearer {value}\1\1"
    assert said.count("\1") == 3


def test_imap_signs_in_with_a_token(imap):
    with imap(mail={"Sent": [MAIL]}) as server:
        assert proved(server).state == "found"
    assert server.sign_ins == [(ADDRESS, TOKEN.value)]


def test_imap_answers_the_challenge_by_an_empty_line_and_not_by_the_token_again(imap):
    with imap(challenge=encoded(WHY), login="{tag} NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)") as server:
        copy = proved(server)
        assert arrived(server.account, TOKEN, OURS, network=server.network) is None
        assert resolve_unknown(server.account, TOKEN, OURS, network=server.network) is None
    assert server.after_challenge == ["", "", ""]
    assert (copy.state, copy.cause, copy.token_refused) == ("no_imap", "wrong_credentials", True)
    assert "token refused: status 401" in copy.raw


@pytest.mark.parametrize(
    ("reply", "state", "cause", "refused"),
    [
        ("{tag} NO AUTHENTICATE failed.", "no_imap", "wrong_credentials", True),
        ("{tag} BAD User is authenticated but not connected.", "failed", "imap_disabled", False),
        ("{tag} NO [UNAVAILABLE] Temporary authentication failure.", "failed", "server_temporary_failure", False),
    ],
)
def test_what_imap_says_to_a_token_is_told_apart(imap, reply, state, cause, refused):
    with imap(login=reply) as server:
        copy = prove(
            server.account,
            TOKEN,
            MAIL,
            OURS,
            network=server.network,
            server_files=True,
            provider="microsoft",
            sleep=lambda _: None,
        )
    assert (copy.state, copy.cause, copy.token_refused) == (state, cause, refused)


def echoes(token):
    """What a server may say that repeats all it was given."""
    blob = base64.b64encode(xoauth2.response(ADDRESS, token).encode()).decode()
    return f"no: {token.value} {blob} Bearer {token.value}"


def test_a_token_that_a_server_repeats_is_in_no_text(smtp, imap, caplog):
    caplog.set_level(logging.DEBUG)
    told = encoded({"status": "400", "scope": f"https://x/?t={TOKEN.value}", "schemes": TOKEN.value})
    with smtp(challenge=told, auth=f"535 5.7.8 {echoes(TOKEN)}") as server:
        texts = [repr(login(server)), repr(sent(server))]
    with smtp(end=f"250 {echoes(TOKEN)}") as server:
        texts.append(repr(sent(server)))
    with smtp(end=f"554 {echoes(TOKEN)}") as server:
        texts.append(repr(sent(server)))
    with imap(challenge=told, login=f"{{tag}} NO {echoes(TOKEN)}") as server:
        texts.append(repr(proved(server)))
    blob = base64.b64encode(xoauth2.response(ADDRESS, TOKEN).encode()).decode()
    for text in [*texts, caplog.text, repr(TOKEN), str(TOKEN)]:
        assert TOKEN.value not in text
        assert "secret-Access" not in text
        assert blob[40:60] not in text
