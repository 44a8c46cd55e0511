"""What people granted: kept fresh by one process at a time, ended kindly, taken back - against a real provider."""

import threading
from dataclasses import replace
from datetime import timedelta

import pytest

import bot.credentials
import bot.grants
from bot.credentials import may_look_in
from bot.grants import ASIDE, BUSY, LEASE, MISSET, NotNowError, OverError, fresh
from bot.live_tests import stored
from bot.mail.wire.account import Token
from bot.mail.wire.probe import Failed
from bot.store import grants, housekeeping, tables
from bot.vault import Secret, Unopenable
from flows import saved
from flows.speech import sentence
from flows.words import Account, GrantEnded, Server
from tests.botkit import ADDRESS, run_sql
from tests.signkit import WORKED, SignKit, proved


@pytest.fixture
def kit(database_url, tmp_path, oidc):
    with SignKit(database_url, tmp_path, oidc) as made:
        yield made


@pytest.fixture
def google(database_url, tmp_path, oidc):
    with SignKit(database_url, tmp_path, oidc, "google") as made:
        yield made


def token(kit, box=None):
    row = box or kit.box()
    return fresh(kit.parts.tools, row.secret_id, stored(row))


def an_hour_later(kit):
    """Both clocks: the access token has two minutes left."""
    kit.oidc.move_clock(58 * 60)
    kit.clock.move(minutes=58)


def told(kit):
    """The news that wait to be said."""
    return [saved.load(row.payload["event"]) for row in kit.promised("warn", "todo", "doing", "done")]


def test_a_lost_key_leads_to_signing_in_once_more(kit):
    box = kit.connected()
    kit.say("menu")
    kit.work()
    kit.write_mail()
    run_sql(kit.url, "update secret set key_id = 'deadbeef' where kind <> 'mail.body'")
    an_hour_later(kit)
    kit.work()
    assert sentence("sign_in.cause.wrong_credentials", "en") in kit.bodies()[-1]
    assert kit.last().button("go:mailbox.sign_in.microsoft")
    assert (kit.box().state, kit.box().id) == ("broken", box.id)


# --- fresh ------------------------------------------------------------------------------------------------------------


def test_a_mailbox_works_by_what_its_person_granted(kit):
    box = kit.connected()
    assert (box.state, box.transport, box.address) == ("works", "smtp", ADDRESS)
    held = kit.held()
    with kit.engine.begin() as db:
        known = kit.parts.facts.read(db, held, kit.envelope(), kit.clock.now()).facts.mailbox
    assert (known.signed_in, known.secret_id) == ("microsoft", str(box.secret_id))
    assert not may_look_in(kit.parts.tools, stored(box), box.secret_id)
    assert {row.kind: row.expires_at for row in kit.rows(tables.secret)}["mailbox.oauth.microsoft"] is None


def test_a_token_that_lasts_is_used_again(kit):
    kit.connected()
    assert token(kit) == token(kit)
    assert kit.oidc.count("token") == 1


def test_five_minutes_before_its_end_it_is_renewed_and_the_new_refresh_token_kept(kit):
    kit.connected()
    before, first = kit.grant(), token(kit)
    refresh = kit.clear(before.secret_id)
    an_hour_later(kit)
    second = token(kit)
    after = kit.grant()
    assert second != first
    assert kit.oidc.introspect(second.value)["active"]
    assert (after.secret_id, after.generation) == (before.secret_id, before.generation + 1)
    assert kit.clear(after.secret_id) != refresh  # it was rotated
    assert after.refreshing_until is None
    assert len(kit.rows(tables.secret)) == 2
    assert token(kit) == second
    an_hour_later(kit)
    assert token(kit) not in {first, second}


def test_a_provider_that_keeps_its_refresh_token_is_served_as_well(kit):
    kit.oidc.settings(rotate=False)
    kit.connected()
    for _ in range(3):
        an_hour_later(kit)
        token(kit)
    assert kit.grant().generation == 3


def test_of_many_who_need_a_token_at_once_one_asks(kit):
    box = kit.connected()
    kit.oidc.move_clock(3700)
    kit.clock.move(seconds=3700)
    together, got = threading.Barrier(8), []

    def ask():
        together.wait()
        try:
            got.append(token(kit, box))
        except NotNowError as away:
            got.append(away.seconds)

    askers = [threading.Thread(target=ask) for _ in range(8)]
    for one in askers:
        one.start()
    for one in askers:
        one.join()
    tokens = {one for one in got if isinstance(one, Token)}
    assert len(tokens) == 1
    assert {one for one in got if not isinstance(one, Token)} <= {BUSY}
    assert kit.oidc.count("token") == 2
    assert token(kit) in tokens


def test_while_another_process_renews_it_the_old_one_serves_until_its_end(kit):
    box = kit.connected()
    first = token(kit)
    an_hour_later(kit)
    with kit.engine.begin() as db:
        assert grants.claim(db, box.secret_id, 0, kit.clock.now(), kit.clock.now() + LEASE)
    assert token(kit) == first
    kit.clock.move(minutes=2)
    with kit.engine.begin() as db:
        grants.rest(db, box.secret_id, 0, kit.clock.now() + LEASE)
    with pytest.raises(NotNowError):
        token(kit)
    kit.clock.move(seconds=LEASE.total_seconds() + 1)  # it died
    assert token(kit) != first


def test_a_provider_that_is_away_is_asked_again_and_the_old_one_serves_meanwhile(kit):
    kit.connected()
    first = token(kit)
    an_hour_later(kit)
    kit.oidc.fail("token", 503, headers={"Retry-After": "7"})
    assert token(kit) == first
    kit.clock.move(minutes=3)
    with pytest.raises(NotNowError) as away:
        token(kit)
    assert away.value.seconds <= 60
    assert kit.box().state == "works"
    kit.oidc.heal()
    kit.clock.move(minutes=2)
    assert token(kit) != first


def test_a_token_that_a_server_does_not_take_is_renewed_once(kit, monkeypatch):
    box = kit.connected()
    old, seen = token(kit), []
    refused = Failed(
        stage="auth", cause="wrong_credentials", who="user", retry=False, raw="535", code=535, answered=True,
        blames_secret=False, server=WORKED.server, token_refused=True,
    )  # fmt: skip

    def server(_account, secret, **_more):
        seen.append(secret)
        return refused

    monkeypatch.setattr(bot.credentials, "test_login", server)
    result = bot.credentials.try_account(kit.parts.tools, stored(box), box.secret_id)
    assert result is refused
    assert seen[0] == old
    assert len(seen) == len(set(seen)) == 2
    assert kit.oidc.count("token") == 2


# --- what it is bound to ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["evil.test", "smtp.gmail.com", "localhost.evil.test", "127.0.0.1"])
def test_a_token_goes_to_no_server_that_is_not_its_provider_s_whatever_the_database_says(kit, host):
    kit.connected()
    run_sql(kit.url, f"update mailbox set host = '{host}'")
    with pytest.raises(Unopenable):
        token(kit)
    asked = kit.oidc.count("token")
    an_hour_later(kit)
    with pytest.raises(Unopenable):
        token(kit)
    assert kit.oidc.count("token") == asked


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("mailbox", "port = 587"),
        ("mailbox", "user_name = 'bia@agency.test'"),
        ("mailbox", "transport = 'graph'"),
        ("oauth_grant", "issuer = 'https://evil.test'"),
        ("oauth_grant", "account = 'bia@agency.test'"),
    ],
)
def test_whoever_changes_what_a_grant_is_for_gets_nothing_opened(kit, table, change):
    kit.connected()
    run_sql(kit.url, f"update {table} set {change}")
    with pytest.raises(Unopenable):
        token(kit)
    assert kit.oidc.count("token") == 1


def test_a_password_is_no_grant_and_a_grant_is_no_password(kit):
    box = kit.connected()
    with kit.engine.begin() as db:
        other = kit.parts.safe.put(
            db, Secret("girafa"), kind="mailbox.password", owner=kit.held().contact_id,
            use=bot.credentials.use_of(stored(box)), now=kit.clock.now(),
        )  # fmt: skip
    assert bot.credentials.credential_of(kit.parts.tools, stored(box), other).reveal() == "girafa"
    with pytest.raises(Unopenable):
        bot.credentials.credential_of(kit.parts.tools, replace(stored(box), transport="graph"), other)


def test_graph_takes_microsoft_s_tokens_only(kit):
    account = Account(ADDRESS, ADDRESS, Server("x", 443, "tls"), "graph")
    bot.grants.check_way(kit.parts.tools, "microsoft", account)
    with pytest.raises(Unopenable):
        bot.grants.check_way(kit.parts.tools, "google", account)


# --- the end ----------------------------------------------------------------------------------------------------------


def test_what_was_revoked_ends_kindly_and_once(kit):
    box = kit.connected()
    kit.oidc.revoke(kit.clear(box.secret_id), client=kit.app)
    an_hour_later(kit)
    with pytest.raises(OverError):
        token(kit, box)
    after = kit.box()
    assert (after.state, after.who, after.secret_id, after.version) == ("broken", "user", None, box.version + 1)
    assert kit.rows(tables.secret) == kit.rows(tables.oauth_grant) == []
    assert told(kit) == [GrantEnded(ADDRESS, "microsoft")]
    with pytest.raises(Unopenable):
        token(kit, box)
    assert len(told(kit)) == 1


def test_a_process_that_dies_between_the_provider_s_answer_and_our_commit_costs_one_new_sign_in(kit, monkeypatch):
    """The provider has rotated the refresh token; nobody knows the new one."""
    box = kit.connected()
    an_hour_later(kit)

    class KilledError(BaseException):
        pass

    def dies(*_arguments):
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr(bot.grants, "_keep_renewed", dies)
        with pytest.raises(KilledError):
            token(kit, box)
    assert kit.oidc.count("token") == 2
    kit.oidc.move_clock(180)
    kit.clock.move(seconds=180)
    with pytest.raises(OverError):
        token(kit, box)
    assert kit.oidc.count("token") == 3
    assert kit.box().state == "broken"
    assert told(kit) == [GrantEnded(ADDRESS, "microsoft")]


def test_a_refusal_that_comes_after_somebody_was_faster_ends_nothing(kit):
    box = kit.connected()
    an_hour_later(kit)
    row = kit.grant()
    token(kit, box)
    error = bot.grants._over(kit.parts.tools, row, stored(box), "invalid_grant")
    assert isinstance(error, NotNowError)
    assert kit.box().state == "works"


def test_a_client_secret_that_expired_is_the_operator_s_and_ends_nothing(kit, capsys):
    box = kit.connected()
    kit.oidc.move_clock(3700)
    kit.clock.move(seconds=3700)
    kit.oidc.fail("token", 401, error="invalid_client", error_description="AADSTS7000222: expired")
    with pytest.raises(NotNowError) as away:
        token(kit, box)
    assert away.value.seconds == MISSET
    assert "MICROSOFT_CLIENT_SECRET" in capsys.readouterr().out
    assert kit.box().state == "works"
    assert told(kit) == []


def test_a_grant_of_an_unsaved_mailbox_that_ends_is_told_by_the_test_alone(kit):
    kit.signed_in()
    grant = kit.grant()
    kit.oidc.revoke(kit.clear(grant.secret_id), client=kit.app)
    kit.oidc.move_clock(3700)
    kit.clock.move(seconds=3700)
    kit.work()
    assert kit.rows(tables.oauth_grant) == []
    assert told(kit) == []
    assert kit.promised("TestLogin", "todo", "doing") == []


@pytest.mark.parametrize("hand", ["watch", "SendMail"])
def test_whichever_hand_finds_it_out_nothing_raises_and_it_is_told_once(kit, hand, monkeypatch):
    box = kit.connected()
    if hand == "SendMail":
        kit.say("menu")
        kit.work()
        kit.write_mail()
    else:
        with kit.engine.begin() as db:
            from bot.store import promises

            promises.watch(db, kit.held().id, box.id, kit.clock.now(), kit.clock.now())
    kit.oidc.revoke(kit.clear(box.secret_id), client=kit.app)
    kit.oidc.move_clock(3700)
    kit.clock.move(seconds=3700)
    kit.work()
    kit.clock.move(seconds=ASIDE.total_seconds())
    kit.work()
    assert kit.box().state == "broken"
    # Whoever waits for their mail hears it with that.
    assert told(kit) == ([] if hand == "SendMail" else [GrantEnded(ADDRESS, "microsoft")])
    why = sentence("sign_in.cause.wrong_credentials", "en")
    assert sum(why in body for body in kit.bodies()) == (hand == "SendMail")
    assert kit.rows(tables.dead_letter) == []


def test_while_the_provider_is_away_a_mail_waits(kit):
    kit.connected()
    kit.say("menu")
    kit.work()
    kit.write_mail()
    kit.oidc.move_clock(3700)
    kit.clock.move(seconds=3700)
    kit.oidc.fail("token", 503)
    kit.work()
    [mail] = kit.promised("SendMail")
    assert mail.attempt == 1
    assert kit.rows(tables.outgoing_mail)[0].state == "todo"


def test_while_another_process_renews_a_sign_in_a_mail_waits_a_moment_and_nobody_hears_of_it(kit):
    box = kit.connected()
    kit.say("menu")
    kit.work()
    kit.write_mail()
    kit.oidc.move_clock(3700)
    kit.clock.move(seconds=3700)
    with kit.engine.begin() as db:
        assert grants.claim(db, box.secret_id, 0, kit.clock.now(), kit.clock.now() + LEASE)
    said = len(kit.bodies())
    kit.work()
    [mail] = kit.promised("SendMail")
    assert mail.due_at - kit.clock.now() < timedelta(seconds=4)
    assert len(kit.bodies()) == said + 1
    assert kit.bodies()[-1] == sentence("compose.sending", "en")


def test_a_renewal_that_takes_long_elsewhere_is_told_once(kit):
    box = kit.connected()
    kit.say("menu")
    kit.work()
    kit.write_mail()
    kit.oidc.move_clock(3700)
    kit.clock.move(seconds=3700)
    with kit.engine.begin() as db:
        assert grants.claim(db, box.secret_id, 0, kit.clock.now(), kit.clock.now() + timedelta(hours=9))
    for _ in range(7):
        kit.work()
        kit.clock.move(minutes=10)
    why = sentence("cause.server_temporary_failure", "en")
    assert sum(sentence("news.mail_waits", "en", why=why) in body for body in kit.bodies()) == 1


# --- taken back -------------------------------------------------------------------------------------------------------


def revoked(kit):
    """What the worker does within a minute."""
    with kit.engine.begin() as db:
        housekeeping.sweep(db, kit.clock.now(), timedelta(days=90))
    kit.work()


def test_whoever_removes_their_mailbox_has_what_they_granted_taken_back(google):
    kit = google
    box = kit.connected()
    access = token(kit).value
    assert kit.oidc.introspect(access)["active"]
    run_sql(kit.url, "delete from mailbox")
    from bot.store import secrets

    with kit.engine.begin() as db:
        secrets.erase(db, [box.secret_id])
    [left] = kit.rows(tables.oauth_grant)
    assert (left.leaving, left.account, left.access_id) == (True, "", None)
    with pytest.raises(Unopenable):
        token(kit, box)
    revoked(kit)
    assert kit.oidc.count("revoke") == 1
    assert not kit.oidc.introspect(access)["active"]
    assert kit.rows(tables.oauth_grant) == kit.rows(tables.secret) == []


def test_whoever_is_forgotten_leaves_no_address_while_it_is_taken_back(google):
    kit = google
    kit.connected()
    from bot.erasure import forget

    with kit.engine.begin() as db:
        forget(db, kit.held().contact_id, by="operator", now=kit.clock.now())
    assert kit.rows(tables.oauth_grant)[0].leaving
    secrets = "\n".join(str(row) for row in kit.rows(tables.secret) + kit.rows(tables.oauth_grant))
    assert ADDRESS not in secrets
    kit.oidc.fail("revoke", 503)
    for _ in range(bot.grants.MAX_REVOKES):
        assert kit.rows(tables.oauth_grant) != []
        kit.clock.move(hours=7)
        revoked(kit)
    assert kit.rows(tables.oauth_grant) == kit.rows(tables.secret) == []


def test_where_the_same_account_signed_in_again_the_older_grant_is_only_erased(google):
    """Taking one back at the provider would end the newer one, too."""
    kit = google
    kit.connected()
    first = kit.grant().secret_id
    kit.link()
    kit.browser.sign_in(kit.link())
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(bot.credentials, "test_login", lambda *_a, **_m: WORKED)
        patched.setattr("bot.mailbox_hands.prove", proved)
        kit.work()
    assert kit.box().secret_id != first
    revoked(kit)
    assert kit.oidc.count("revoke") == 0
    assert kit.grant().secret_id == kit.box().secret_id
    assert kit.oidc.introspect(token(kit).value)["active"]


def test_a_sign_in_that_nobody_saved_is_given_up_after_a_day(google):
    kit = google
    kit.signed_in()
    kit.clock.move(hours=25)
    revoked(kit)
    assert kit.oidc.count("revoke") == 1
    assert kit.rows(tables.oauth_grant) == []


# --- kept -------------------------------------------------------------------------------------------------------------


def test_what_nobody_used_for_a_month_is_renewed(kit):
    kit.connected()
    run_sql(kit.url, "update mailbox set state = 'off'")
    for days in (29, 2):
        kit.clock.move(days=days)
        kit.oidc.move_clock(days * 86400)
        revoked(kit)
        kit.clock.move(days=1)
        kit.oidc.move_clock(86400)
        kit.work()
    assert kit.grant().generation >= 1
    assert kit.box().state == "off"
