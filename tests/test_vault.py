import base64
import copy
import json
import logging
import pickle
import string
from dataclasses import asdict, dataclass, replace
from uuid import UUID, uuid4

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bot.vault import (
    KINDS,
    MAX_KEYS,
    BadKey,
    Cover,
    Secret,
    Unopenable,
    Vault,
    key_id,
    new_key,
    token,
    token_hash,
)

VAULT = Vault.from_setting(new_key())
WORDS = st.text(max_size=40)
BINDINGS = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(sorted(KINDS)),
        "secret_id": st.uuids(),
        "owner_id": st.uuids(),
        "use": st.fixed_dictionaries({"host": WORDS, "port": st.integers(0, 65535), "user": WORDS}),
    }
)


def binding(**changes):
    use = {"host": "smtp.example.org", "port": 465, "user": "ana@example.org"}
    return {
        "kind": "mailbox.password",
        "secret_id": UUID(int=1),
        "owner_id": UUID(int=2),
        "use": {**use, **changes.pop("use", {})},
        **changes,
    }


@given(clear=st.binary(max_size=2000), bound=BINDINGS)
def test_what_is_sealed_opens_with_the_same_binding(clear, bound):
    sealed = VAULT.seal(clear, **bound)
    assert VAULT.open(sealed, **bound) == clear
    assert len(clear) < 4 or clear not in sealed.box


@given(first=BINDINGS, second=BINDINGS)
def test_any_other_binding_does_not_open_it(first, second):
    assume(first != second)
    with pytest.raises(Unopenable):
        VAULT.open(VAULT.seal(b"geheim", **first), **second)


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "mail.body"},
        {"secret_id": UUID(int=9)},
        {"owner_id": UUID(int=9)},
        {"use": {"host": "smtp.thief.example"}},
        {"use": {"port": 587}},
        {"use": {"port": "465"}},
        {"use": {"user": "eva@example.org"}},
        {"use": {"issuer": "one more"}},
    ],
)
def test_a_password_cannot_be_redirected(change):
    sealed = VAULT.seal(b"geheim", **binding())
    with pytest.raises(Unopenable) as caught:
        VAULT.open(sealed, **binding(**change))
    assert "geheim" not in str(caught.value)


@given(bound=BINDINGS)
def test_the_order_of_the_uses_does_not_matter(bound):
    turned = {**bound, "use": dict(reversed(bound["use"].items()))}
    assert VAULT.open(VAULT.seal(b"geheim", **bound), **turned) == b"geheim"


@given(place=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_one_changed_bit_makes_it_unopenable(place, bit):
    sealed = VAULT.seal(b"geheim", **binding())
    whole = bytearray(sealed.nonce + sealed.box)
    whole[place % len(whole)] ^= 1 << bit
    changed = replace(sealed, nonce=bytes(whole[:12]), box=bytes(whole[12:]))
    with pytest.raises(Unopenable):
        VAULT.open(changed, **binding())


@pytest.mark.parametrize(("nonce", "box"), [(b"", b""), (b"x" * 12, b""), (b"x" * 5, b"y" * 40), (b"x" * 200, b"y")])
def test_a_damaged_row_is_unopenable_and_no_crash(nonce, box):
    with pytest.raises(Unopenable):
        VAULT.open(replace(VAULT.seal(b"geheim", **binding()), nonce=nonce, box=box), **binding())


def test_no_nonce_and_no_box_comes_twice():
    sealed = [VAULT.seal(b"geheim", **binding()) for _ in range(2000)]
    assert len({one.nonce for one in sealed}) == len({one.box for one in sealed}) == 2000
    assert {len(one.nonce) for one in sealed} == {12}


def test_an_unknown_kind_is_refused_before_anything_is_sealed():
    with pytest.raises(ValueError, match="no kind of secret: passwords"):
        VAULT.seal(b"geheim", **binding(kind="passwords"))


def test_an_older_key_still_opens_and_rotation_moves_to_the_newest():
    old, new = new_key(), new_key()
    sealed = Vault.from_setting(old).seal(b"geheim", **binding())
    both = Vault.from_setting(f"{new},{old}")
    moved = both.reseal(sealed, **binding())
    assert both.open(sealed, **binding()) == b"geheim"
    assert moved.key_id == both.newest == key_id(base64.b64decode(new)) != sealed.key_id
    assert both.reseal(moved, **binding()) is moved
    assert Vault.from_setting(new).open(moved, **binding()) == b"geheim"


def test_a_dropped_key_is_named_when_its_secret_is_wanted():
    sealed = Vault.from_setting(new_key()).seal(b"geheim", **binding())
    with pytest.raises(Unopenable, match=f"sealed with the key {sealed.key_id}, which SECRET_KEYS does not hold"):
        VAULT.open(sealed, **binding())


def test_resealing_checks_the_binding():
    old, new = new_key(), new_key()
    sealed = Vault.from_setting(old).seal(b"geheim", **binding())
    with pytest.raises(Unopenable):
        Vault.from_setting(f"{new},{old}").reseal(sealed, **binding(use={"host": "smtp.thief.example"}))


def test_the_check_record_tells_right_keys_from_wrong_ones():
    old, new = new_key(), new_key()
    record = Vault.from_setting(old).seal_check()
    assert Vault.from_setting(f"{new} {old}").opens_check(record)
    assert not Vault.from_setting(new).opens_check(record)
    assert not Vault.from_setting(old).opens_check(replace(record, box=record.box[::-1]))


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("", "holds no key"),
        (" , ", "holds no key"),
        ("changeme!", "not base64"),
        ("ção", "not base64"),
        (base64.b64encode(b"short").decode(), "not 32 bytes"),
        (base64.b64encode(bytes(33)).decode(), "not 32 bytes"),
        (",".join([base64.b64encode(bytes(32)).decode()] * 2), "same key twice"),
        (",".join(base64.b64encode(bytes([n] * 32)).decode() for n in range(MAX_KEYS + 1)), "more than 16"),
        ("A" * 5000, "longer than"),
    ],
)
def test_a_bad_setting_is_one_sentence_that_names_it_and_shows_nothing(setting, says):
    with pytest.raises(BadKey) as caught:
        Vault.from_setting(setting)
    sentence = str(caught.value)
    assert says in sentence
    assert "SECRET_KEYS" in sentence
    assert "\n" not in sentence
    assert not setting.strip(" ,") or setting not in sentence
    assert caught.value.__cause__ is None


def test_keys_come_from_a_file_with_one_on_a_line(tmp_path):
    old, new = new_key(), new_key()
    file = tmp_path / "secret.key"
    file.write_text(f"{new}\n{old}\n", encoding="ascii")
    assert Vault.from_file(file).newest == Vault.from_setting(new).newest
    assert Vault.from_file(file).opens_check(Vault.from_setting(old).seal_check())


@pytest.mark.parametrize("content", [None, b"\x00\xd1\x9f\xff", b"A" * 100_000])
def test_a_missing_binary_or_huge_key_file_is_one_sentence(tmp_path, content):
    file = tmp_path / "secret.key"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(BadKey, match="SECRET_KEYS"):
        Vault.from_file(file)


def test_neither_vault_nor_box_shows_a_key_or_content():
    key = new_key()
    vault = Vault.from_setting(key)
    sealed = vault.seal(b"geheim", **binding())
    assert key not in repr(vault)
    assert repr(sealed) == f"Sealed(key_id='{sealed.key_id}')"


def test_subkeys_differ_by_label_and_key_and_are_stable():
    assert VAULT.subkey("forms") == VAULT.subkey("forms")
    assert len({VAULT.subkey("forms"), VAULT.subkey("links"), Vault.from_setting(new_key()).subkey("forms")}) == 3
    assert len(VAULT.subkey("forms")) == 32


def test_a_secret_does_not_show_itself(caplog):
    secret = Secret("correct horse")
    with caplog.at_level(logging.INFO):
        logging.getLogger("test").info("got %s %r", secret, {"password": secret})
    shown = f"{secret} {secret!r} {secret!s} {[secret]} {caplog.text}"
    assert "horse" not in shown
    assert "***" in shown
    assert secret.reveal() == "correct horse"


@dataclass
class Form:
    password: Secret


@pytest.mark.parametrize(
    "leave", [pickle.dumps, json.dumps, copy.copy, copy.deepcopy, lambda secret: asdict(Form(secret)), vars]
)
def test_a_secret_does_not_leave_memory(leave):
    with pytest.raises(TypeError) as caught:
        leave(Secret("correct horse"))
    assert "horse" not in str(caught.value)


def test_a_token_is_long_fits_a_link_and_is_known_by_its_hash():
    pairs = [token() for _ in range(500)]
    assert len({clear for clear, _ in pairs}) == 500
    for clear, stored in pairs:
        assert len(clear) * 6 >= 128
        assert set(clear) <= set(string.ascii_letters + string.digits + "-_")
        assert stored == token_hash(clear)
        assert len(stored) == 64
        assert clear not in stored


def test_what_is_hidden_in_an_address_is_read_by_its_own_page_only():
    cover = Cover(b"k" * 32, "one page")
    hidden = cover.hide("ana@agency.test")
    assert cover.read(hidden) == "ana@agency.test"
    assert b"ana" not in base64.urlsafe_b64decode(hidden)
    assert set(hidden) <= set(string.ascii_letters + string.digits + "-_=")
    others = (Cover(b"k" * 32, "another page"), Cover(b"x" * 32, "one page"))
    assert [other.read(hidden) for other in others] == [None, None]
    assert [cover.read(one) for one in ("", "é", "x" * 4000, hidden[:-4], hidden[1:], f"{hidden}x")] == [None] * 6


def test_any_text_from_outside_has_a_token_hash():
    assert token_hash("é" * 10_000 + str(uuid4())) != token_hash("")
