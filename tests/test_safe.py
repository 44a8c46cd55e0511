"""The safe: what goes in sealed comes out only for its use; and a wrong key stops the start."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import pytest

from bot.safe import Safe, WrongKey, use_of
from bot.store import secrets, tables
from bot.store.engine import reading
from bot.vault import Secret, Unopenable, Vault, new_key
from flows.words import Account, Server
from tests.botkit import Kit, run_sql

USE = {"host": "mail.agency.test", "port": 465, "user": "ana"}


def put(kit, text="girafa", **more):
    with kit.engine.begin() as db:
        usual = {"kind": "mailbox.password", "owner": uuid4(), "use": USE, "now": kit.clock.now()}
        return kit.parts.safe.put(db, Secret(text), **{**usual, **more})


def take(kit, secret_id, kind="mailbox.password", use=USE):
    with reading(kit.engine) as db:
        return kit.parts.safe.take(db, secret_id, kind=kind, use=use).reveal()


@pytest.mark.parametrize("text", ["girafa", "ação 👍", " blank at both ends ", "x" * 256])
def test_what_goes_in_comes_out(kit, text):
    assert take(kit, put(kit, text)) == text


def test_nothing_in_the_database_gives_it_away(kit):
    put(kit, "girafa-azul")
    assert "girafa" not in kit.dump()
    assert "girafa" not in repr(kit.rows(tables.secret))


@pytest.mark.parametrize("other", [{"host": "evil.test"}, {"port": 587}, {"user": "bia"}, {"more": "x"}])
def test_a_secret_opens_for_its_use_and_no_other(kit, other):
    secret_id = put(kit)
    with pytest.raises(Unopenable):
        take(kit, secret_id, use={**USE, **other})


def test_a_secret_opens_as_what_it_is_and_not_as_something_else(kit):
    secret_id = put(kit)
    with pytest.raises(Unopenable):
        take(kit, secret_id, kind="mail.body")


def test_a_secret_that_was_given_to_another_owner_does_not_open(kit):
    secret_id = put(kit)
    run_sql(kit.url, f"update secret set owner_id = '{uuid4()}'")
    with pytest.raises(Unopenable):
        take(kit, secret_id)


def test_an_erased_secret_is_gone(kit):
    secret_id = put(kit)
    with kit.engine.begin() as db:
        secrets.erase(db, [secret_id])
    with pytest.raises(Unopenable, match="erased"):
        take(kit, secret_id)


@pytest.mark.parametrize("keep", [timedelta(minutes=5), timedelta(hours=24)])
def test_a_secret_has_its_time(kit, keep):
    put(kit, keep=keep)
    assert kit.rows(tables.secret)[0].expires_at == kit.clock.now() + keep


def test_what_a_password_may_be_used_with_is_host_port_and_user():
    account = Account("ana@agency.test", "ana", Server("mail.agency.test", 465, "tls"))
    assert use_of(account) == USE


# --- keys -------------------------------------------------------------------------------------------------------------


def started(kit, *keys):
    """A process that starts with these keys, newest first."""
    with kit.engine.begin() as db:
        Safe(Vault.from_setting(",".join(keys))).check(db)


def known_keys(kit):
    return {row.key_id for row in kit.rows(tables.key_check)}


def test_a_key_is_remembered_once(kit):
    with kit.engine.begin() as db:
        kit.parts.safe.check(db)
        kit.parts.safe.check(db)
    assert len(known_keys(kit)) == 1


def test_keys_that_open_nothing_here_stop_the_start(kit):
    with pytest.raises(WrongKey, match="SECRET_KEYS"):
        started(kit, new_key())
    assert len(known_keys(kit)) == 1


def test_a_new_key_in_front_of_the_old_one_starts(kit, database_url, tmp_path):
    old = (tmp_path / "secret.key").read_text(encoding="ascii").strip()
    new = new_key()
    started(kit, new, old)
    assert len(known_keys(kit)) == 2
    started(kit, new)


def test_processes_that_start_at_the_same_moment_do_not_get_in_each_others_way(kit):
    run_sql(kit.url, "delete from key_check")
    key = new_key()
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: started(kit, key), range(6)))
    assert len(known_keys(kit)) == 1


def test_a_secret_survives_its_process(database_url, tmp_path):
    with Kit(database_url, tmp_path) as first:
        secret_id = put(first, "girafa")
    with Kit(database_url, tmp_path) as second:
        assert take(second, secret_id) == "girafa"
