"""From a signed-in mailbox a real mail leaves: by XOAUTH2 at a mail server, or by Graph; renewed, refused, waiting."""

from contextlib import contextmanager
from datetime import timedelta

import pytest
import trustme

import bot.mail_hands
from bot.mail.wire.send import Later
from bot.store import promises, tables
from flows.speech import sentence
from flows.words import Account, Server
from tests.botkit import ADDRESS
from tests.faulty_smtp import FaultySMTP, client_context, loopback_network, server_context
from tests.graph_server import GraphServer
from tests.signkit import SignKit
from tests.test_grants import told

NOT_SENT = sentence("news.mail_refused", "en", why=sentence("sign_in.cause.wrong_credentials", "en"))
OFFER = "250-localhost\r\n250-SIZE 20000000\r\n250 AUTH XOAUTH2 PLAIN"


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@contextmanager
def smtp(database_url, tmp_path, oidc, authority, **replies):
    """The kit, and the provider's mail server on loopback."""
    with (
        FaultySMTP(server_context(authority, "localhost"), "tls", **{"ehlo_tls": OFFER, **replies}) as server,
        SignKit(database_url, tmp_path, oidc) as kit,
    ):
        kit.network(loopback_network(client_context(authority), server.port))
        kit.account = Account(ADDRESS, ADDRESS, Server("localhost", server.port, "tls"))
        yield kit, server


@contextmanager
def graph(database_url, tmp_path, oidc, authority):
    """The kit whose mail leaves through Graph."""
    with GraphServer(oidc) as server, SignKit(database_url, tmp_path, oidc, GRAPH_URL=server.url) as kit:
        kit.network(loopback_network(client_context(authority), server.port))
        kit.account = Account(ADDRESS, ADDRESS, Server("localhost", 465, "tls"), "graph")
        yield kit, server


def set_up(kit):
    """Somebody signs in, and their mailbox is tested and saved."""
    kit.signed_in(account=kit.account)
    kit.work()
    return kit.box()


def write(kit):
    """They write a mail and let it go."""
    kit.say("menu")
    kit.work()
    kit.write_mail()
    kit.work()


def tokens(server):
    return [secret for _, secret in server.sign_ins]


def test_a_mailbox_is_tested_proved_and_sends_with_a_token(database_url, tmp_path, oidc, authority):
    with smtp(database_url, tmp_path, oidc, authority) as (kit, server):
        assert set_up(kit).state == "works"
        assert len(server.messages) == 1  # the mail to oneself
        write(kit)
        assert len(server.messages) == 2
        assert {user for user, _ in server.sign_ins} == {ADDRESS}
        assert all(oidc.introspect(one)["active"] for one in tokens(server))
        assert all(command.upper().startswith("AUTH XOAUTH2") for command in server.auths)
        [mail] = kit.rows(tables.outgoing_mail)
        assert (mail.state, mail.copy, mail.content_id) == ("accepted", "no_imap", None)
        assert "Sent" not in kit.bodies()[-1]  # the server files the copy: there is nothing to say about it


def test_what_expired_is_renewed_before_the_mail_leaves(database_url, tmp_path, oidc, authority):
    with smtp(database_url, tmp_path, oidc, authority) as (kit, server):
        set_up(kit)
        before = set(tokens(server))
        oidc.move_clock(3700)
        kit.clock.move(seconds=3700)
        write(kit)
        assert kit.rows(tables.outgoing_mail)[0].state == "accepted"
        [fresh] = set(tokens(server)) - before
        assert oidc.introspect(fresh)["active"]


def test_a_password_changed_at_the_provider_ends_it_with_the_one_try_of_a_new_token(
    database_url, tmp_path, oidc, authority
):
    """The mail server refuses the token before its end; the refresh token is refused as well."""
    with smtp(database_url, tmp_path, oidc, authority) as (kit, server):
        box = set_up(kit)
        oidc.revoke(kit.clear(box.secret_id), client=kit.app)
        server._replies["auth"] = "535 5.7.3 Authentication unsuccessful"
        before = len(server.auths)
        write(kit)
        assert len(server.auths) == before + 1
        assert kit.box().state == "broken"
        assert kit.bodies()[-1].startswith(NOT_SENT)
        assert told(kit) == []
        assert kit.rows(tables.outgoing_mail)[0].state == "refused"
        assert len(server.messages) == 1


def test_whoever_waits_for_their_mail_hears_at_once_at_whatever_hour_that_the_sign_in_has_ended(
    database_url, tmp_path, oidc, authority
):
    with smtp(database_url, tmp_path, oidc, authority) as (kit, _):
        box = set_up(kit)
        oidc.revoke(kit.clear(box.secret_id), client=kit.app)
        night = kit.clock.now().replace(hour=6) + timedelta(days=1)  # three o'clock there
        oidc.move_clock((night - kit.clock.now()).total_seconds())
        kit.clock.time = night
        write(kit)
        assert kit.bodies()[-1].startswith(NOT_SENT)
        said = len(kit.bodies())
        kit.clock.move(days=1)
        kit.work()
        assert len(kit.bodies()) == said
        assert [row.state for row in kit.promised("warn", "todo", "doing", "done", "dropped")] == ["dropped"]


def test_the_watch_signs_in_quietly_and_keeps_the_grant_fresh(database_url, tmp_path, oidc, authority):
    with smtp(database_url, tmp_path, oidc, authority) as (kit, server):
        box = set_up(kit)
        said = len(kit.bodies())
        kit.clock.move(days=4)
        oidc.move_clock(4 * 86400)
        with kit.engine.begin() as db:
            promises.watch(db, kit.held().id, box.id, kit.clock.now(), kit.clock.now())
        kit.work()
        assert kit.box().worked_at == kit.clock.now()
        assert kit.grant().generation == 1
        assert len(kit.bodies()) == said
        assert len(server.messages) == 1


def test_where_smtp_is_switched_off_mail_leaves_through_graph(database_url, tmp_path, oidc, authority):
    with graph(database_url, tmp_path, oidc, authority) as (kit, server):
        box = set_up(kit)
        assert (box.state, box.transport) == ("works", "graph")
        assert "https://graph.microsoft.com/Mail.Send" in kit.grant().scopes
        write(kit)
        assert kit.rows(tables.outgoing_mail)[0].state == "accepted"
        assert len(server.folder("bia@client.test")) == 1
        assert len(server.folder(ADDRESS, "Sent Items")) == 2  # the proof, and the mail


def test_a_mail_that_graph_may_have_taken_is_told_as_unknown_and_not_sent_twice(
    database_url, tmp_path, oidc, authority
):
    with graph(database_url, tmp_path, oidc, authority) as (kit, server):
        set_up(kit)
        server.fail("lose")
        write(kit)
        server.heal()
        kit.clock.move(hours=1)
        kit.work()
        assert kit.rows(tables.outgoing_mail)[0].state == "unknown"
        assert len(server.folder("bia@client.test")) == 1


def test_a_server_that_wants_to_be_left_alone_is(database_url, tmp_path, oidc, authority, monkeypatch):
    with graph(database_url, tmp_path, oidc, authority) as (kit, _server):
        set_up(kit)
        busy = Later("data", "server_temporary_failure", "wait", "429", (), 900.0)
        monkeypatch.setattr(bot.mail_hands, "hand_over", lambda *_a, **_m: busy)
        write(kit)
        [due] = [one.due_at for one in kit.promised("SendMail")]
        assert due >= kit.clock.now() + timedelta(seconds=900)
        monkeypatch.undo()
        kit.clock.move(seconds=900)
        kit.work()
        assert kit.rows(tables.outgoing_mail)[0].state == "accepted"
