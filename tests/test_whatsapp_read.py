from pathlib import Path
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.datastructures import MultiDict

from bot.channels import MAX_TEXT, Identity, Media
from bot.channels.whatsapp import BadWebhook, callback_url, read, read_status

PAYLOADS = Path(__file__).parent / "payloads" / "whatsapp"
NUMBER = "+351912345678"
SMALLEST = {"MessageSid": "SM1", "From": "whatsapp:" + NUMBER, "Body": "hi"}


def form(name):
    return MultiDict(parse_qsl((PAYLOADS / f"{name}.txt").read_text().strip(), keep_blank_values=True))


@pytest.mark.parametrize(
    ("name", "text", "button", "kind"),
    [
        ("text", "Olá, quero ligar o meu e-mail ✉️\nana@exemplo.pt", None, "text"),
        ("button", "Sim", "mailbox.confirm:yes", "text"),
        ("list", "Gmail", "mailbox.provider:gmail", "text"),
        ("list_without_id", "Gmail", None, "text"),
        ("image_with_caption", "o ecrã que vejo", None, "image"),
        ("voice", "", None, "voice"),
        ("sticker", "", None, "sticker"),
        ("video", "", None, "video"),
        ("document", "conta.pdf", None, "document"),
        ("contact", "", None, "contact"),
        ("location", "", None, "location"),
        ("unknown_type", "", None, "other"),
        ("forwarded_from_an_advertisement", "info", None, "text"),
    ],
)
def test_every_kind_of_message_is_read(name, text, button, kind):
    inbound = read(form(name))
    assert (inbound.text, inbound.button, inbound.kind) == (text, button, kind)
    assert inbound.message_id == form(name)["MessageSid"]
    assert inbound.name == "Ana Sofia"


@pytest.mark.parametrize(
    ("name", "content_type", "file_name"),
    [
        ("document", "application/pdf", "conta.pdf"),
        ("image_with_caption", "image/jpeg", "photo.jpg"),
        ("voice", "audio/ogg", "audio.ogg"),
        ("sticker", "image/webp", "photo.webp"),
        ("video", "video/mp4", "video.mp4"),
        ("contact", "text/vcard", "file"),
    ],
)
def test_a_file_is_told_with_its_address_its_type_and_a_name(name, content_type, file_name):
    (media,) = read(form(name)).media
    assert media == Media(form(name)["MediaUrl0"], content_type, file_name)


@pytest.mark.parametrize("name", ["text", "button", "location", "unknown_type"])
def test_a_message_without_a_file_tells_of_none(name):
    assert read(form(name)).media == ()


@pytest.mark.parametrize(
    ("name", "address", "external_id"),
    [
        ("text", NUMBER, "PT.1a2B3c4D5e6F7g8H"),
        ("text_without_id", NUMBER, None),
        ("hidden_number", None, "US.9Zy8Xw7Vu6"),
        ("hidden_number_linked_portfolio", None, "US.9Zy8Xw7Vu6"),
    ],
)
def test_a_person_is_known_by_number_by_id_or_by_both(name, address, external_id):
    assert read(form(name)).identity == Identity("whatsapp", address, external_id)


def test_an_id_alone_in_the_address_field_is_enough():
    inbound = read({"MessageSid": "SM1", "From": "whatsapp:BR.abc123", "Body": "oi"})
    assert inbound.identity == Identity("whatsapp", None, "BR.abc123")


def test_an_id_of_the_greatest_length_is_taken():
    longest = "US.ENT." + "x" * 128
    assert read(SMALLEST | {"From": "whatsapp:" + longest}).identity.external_id == longest


def test_without_an_address_field_the_whatsapp_number_stands_in():
    inbound = read({"MessageSid": "SM1", "WaId": "351912345678", "Body": "oi"})
    assert inbound.identity == Identity("whatsapp", NUMBER, None)


@pytest.mark.parametrize(
    "change",
    [
        {"MessageSid": ""},
        {"MessageSid": "S" * 65},
        {"MessageSid": "SM1'; DROP"},
        {"From": ""},
        {"From": "whatsapp:"},
        {"From": NUMBER},
        {"From": "rcs:" + NUMBER},
        {"From": "whatsapp:+1" + "2" * 200},
        {"From": "whatsapp:+1 2\n3"},
        {"From": "", "WaId": "٣٥١٩١٢"},
    ],
    ids=repr,
)
def test_a_message_without_a_proper_id_or_a_whatsapp_sender_is_refused(change):
    with pytest.raises(BadWebhook) as refusal:
        read(SMALLEST | change)
    assert NUMBER not in str(refusal.value)


def test_text_is_bounded_and_free_of_control_characters():
    assert read(SMALLEST | {"Body": "a\x00b\x07\tc\r\nd\re\x85\ud800f"}).text == "ab c\nd\nef"
    assert len(read(SMALLEST | {"Body": "x" * 20_000}).text) == MAX_TEXT


def test_a_family_emoji_keeps_its_joiners():
    assert read(SMALLEST | {"Body": "👩‍👩‍👧‍👦"}).text == "👩‍👩‍👧‍👦"


def test_a_button_id_longer_than_any_of_ours_is_left_out():
    inbound = read(SMALLEST | {"Body": "Yes", "ButtonPayload": "x" * 201})
    assert (inbound.text, inbound.button) == ("Yes", None)


def test_a_tap_without_a_body_reads_its_label():
    assert read(SMALLEST | {"Body": "", "ButtonText": "Yes", "ButtonPayload": "a.b:yes"}).text == "Yes"


def test_a_name_is_one_bounded_line():
    assert read(SMALLEST | {"ProfileName": "Ana\nSofia" + "x" * 500}).name.startswith("Ana Sofiax")
    assert len(read(SMALLEST | {"ProfileName": "x" * 500}).name) == 100


def test_media_of_no_stated_type_is_other():
    assert read(SMALLEST | {"NumMedia": "1", "Body": ""}).kind == "other"


@given(
    st.dictionaries(
        st.sampled_from([*SMALLEST, "NumMedia", "MediaUrl0", "MediaContentType0", "MediaUrl9", "ButtonPayload"]),
        st.text(),
    )
)
def test_whatever_the_values_are_the_form_is_read_or_refused(values):
    try:
        inbound = read(SMALLEST | values)
    except BadWebhook:
        return
    assert inbound.identity.address or inbound.identity.external_id
    assert not any(ord(c) < 32 and c != "\n" for c in inbound.text)
    assert all(one.url.startswith("https://") and one.content_type.isascii() and one.name for one in inbound.media)


@pytest.mark.parametrize(
    ("name", "status", "error"),
    [
        ("status_delivered", "delivered", ""),
        ("status_read", "read", ""),
        ("status_undelivered", "undelivered", "63016"),
    ],
)
def test_a_status_callback_says_what_became_of_which_promise(name, status, error):
    told = read_status(form(name), {"promise": "77"})
    assert (told.status, told.error, told.promise_id) == (status, error, 77)
    assert told.provider_id == form(name)["MessageSid"]


def test_statuses_rank_forward_and_failures_are_ends():
    ranks = [
        read_status({"MessageSid": "SM1", "MessageStatus": status}, {}).rank
        for status in ("queued", "sending", "sent", "delivered", "read", "failed")
    ]
    assert ranks == sorted(set(ranks))
    assert read_status({"MessageSid": "SM1", "MessageStatus": "undelivered"}, {}).rank == ranks[-1]


@pytest.mark.parametrize("promise", ["", "abc", "-1", "9" * 19, "٣"])
def test_a_promise_that_is_no_number_is_none(promise):
    assert read_status({"MessageSid": "SM1", "MessageStatus": "sent"}, {"promise": promise}).promise_id is None


@pytest.mark.parametrize("change", [{"MessageSid": ""}, {"MessageStatus": "received"}, {"MessageStatus": ""}])
def test_what_is_no_status_is_none(change):
    assert read_status({"MessageSid": "SM1", "MessageStatus": "sent"} | change, {}) is None


def test_the_callback_address_carries_the_promise():
    assert callback_url("https://bot.example.com/whatsapp/status", 5).endswith("/whatsapp/status?promise=5")
