"""The door for people who signed in at Microsoft or Google: by an access token, or through Microsoft Graph."""

from contextlib import contextmanager

import pytest
import trustme

from flows.words import Account, Server
from tests.botkit import ADDRESS
from tests.doorway import MESSAGE, TO, OpenDoor, guest, handed_in, key_for, raw, states
from tests.faulty_smtp import FaultySMTP, client_context, loopback_network, server_context
from tests.graph_server import GraphServer
from tests.signkit import SignKit

pytestmark = pytest.mark.usefixtures("no_waits")
TOKENS_TAKEN = "250-mail\r\n250-8BITMIME\r\n250 AUTH XOAUTH2 PLAIN"


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@contextmanager
def smtp(database_url, home, oidc, authority, **replies):
    """A mailbox whose server takes tokens, by SMTP."""
    context = server_context(authority, "localhost")
    with (
        FaultySMTP(context, ehlo_tls=TOKENS_TAKEN, **replies) as server,
        SignKit(database_url, home, oidc) as kit,
    ):
        kit.network(loopback_network(client_context(authority), server.port))
        kit.signed_in(account=Account(ADDRESS, ADDRESS, Server("localhost", server.port, "tls")))
        kit.work()
        assert kit.box().state == "works"
        server.messages.clear()
        server.sign_ins.clear()
        kit.key = key_for(kit)
        with OpenDoor(kit, authority, home) as door:
            kit.door, kit.server = door, server
            yield kit


@contextmanager
def graph(database_url, home, oidc, authority):
    """A mailbox that sends through Graph."""
    with GraphServer(oidc) as server, SignKit(database_url, home, oidc, GRAPH_URL=server.url) as kit:
        kit.network(loopback_network(client_context(authority), server.port))
        account = Account(ADDRESS, ADDRESS, Server("localhost", 465, "tls"), "graph")
        kit.signed_in(account=account)
        kit.work()
        assert kit.box().transport == "graph"
        kit.key = key_for(kit)
        with OpenDoor(kit, authority, home) as door:
            kit.door, kit.server = door, server
            yield kit


def test_a_mail_leaves_by_an_access_token_and_the_next_one_on_the_same_connection(
    database_url, tmp_path, oidc, authority
):
    with smtp(database_url, tmp_path, oidc, authority) as kit:
        one = guest(kit)
        assert [handed_in(one)[0], handed_in(one, MESSAGE.replace(b"<1@", b"<2@"))[0]] == [250, 250]
        assert len(kit.server.messages) == 2
        ((user, token),) = kit.server.sign_ins
        assert (user, oidc.introspect(token)["active"]) == (ADDRESS, True)


def test_a_token_that_is_refused_is_renewed_once_and_the_mail_leaves(database_url, tmp_path, oidc, authority):
    replies = iter(["235 2.7.0 Accepted"] * 9)

    def auth(conversation):
        conversation.say(next(replies))

    with smtp(database_url, tmp_path, oidc, authority, auth=auth) as kit:
        replies = iter(["535 5.7.3 Authentication unsuccessful", "235 2.7.0 Accepted"])
        assert handed_in(guest(kit))[0] == 250
        first, second = (token for _, token in kit.server.sign_ins)
        assert first != second
        assert len(kit.server.messages) == 1


def test_a_token_that_is_refused_twice_is_told_and_rests(database_url, tmp_path, oidc, authority):
    replies = iter(["235 2.7.0 Accepted"] * 9)

    def auth(conversation):
        conversation.say(next(replies))

    with smtp(database_url, tmp_path, oidc, authority, auth=auth) as kit:
        replies = iter(["535 5.7.3 Authentication unsuccessful"] * 9)
        one = guest(kit)
        assert handed_in(one)[0] == 554
        assert handed_in(one, MESSAGE.replace(b"<1@", b"<2@"))[0] == 451
        assert len(kit.server.sign_ins) == 2


def test_who_is_only_in_the_envelope_gets_it_unseen_through_graph(database_url, tmp_path, oidc, authority):
    with graph(database_url, tmp_path, oidc, authority) as kit:
        before = len(kit.server.folder(ADDRESS, "Sent Items"))
        one = guest(kit)
        one.mail(ADDRESS)
        one.rcpt(TO)
        one.rcpt("hidden@client.test")
        assert one.data(MESSAGE)[0] == 250
        found = kit.server.folder(ADDRESS, "Sent Items")
        assert len(found) == before + 1
        assert (found[-1]["To"], found[-1]["Bcc"]) == (TO, "hidden@client.test")
        assert states(kit)[-1] == "accepted"


def test_graph_never_mails_somebody_whom_the_envelope_does_not_name(database_url, tmp_path, oidc, authority):
    with graph(database_url, tmp_path, oidc, authority) as kit:
        before = len(kit.server.folder(ADDRESS, "Sent Items"))
        named = raw(f"From: {ADDRESS}", f"To: {TO}, caio@client.test")
        code, text = handed_in(guest(kit), named)
        assert (code, text.partition(" ")[0]) == (550, "5.7.1")
        assert len(kit.server.folder(ADDRESS, "Sent Items")) == before


def test_what_graph_says_is_the_reply(database_url, tmp_path, oidc, authority):
    with graph(database_url, tmp_path, oidc, authority) as kit:
        kit.server.fail(429, headers={"Retry-After": "7"}, code="ApplicationThrottled", times=1)
        one = guest(kit)
        assert handed_in(one)[0] == 451
        assert handed_in(one)[0] == 250
