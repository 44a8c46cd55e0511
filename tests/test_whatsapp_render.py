import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.channels.whatsapp import WhatsAppStyle, render
from flows.speech import Button, Message

HAIR = "\u200a"
LINK = "https://bot.example.com/s/one-time-token"


def yes_no(*labels):
    return tuple(Button(f"mailbox.confirm:{n}", label) for n, label in enumerate(labels))


def filled(outgoing):
    """The content's body with the variables set in, as Twilio does it."""
    (kind,) = set(outgoing.content.types) - {"twilio/text"}
    body = outgoing.content.types[kind]["body"]
    return re.sub(r"{{(\d+)}}", lambda found: outgoing.variables[found[1]], body)


def test_a_message_without_choices_is_plain_text():
    outgoing = render(Message("*Hello*\n\nthere", (), "en"))
    assert (outgoing.body, outgoing.content, outgoing.cut) == ("*Hello*\n\nthere", None, False)


def test_up_to_three_choices_are_buttons_and_numbered_text():
    outgoing = render(Message("Is this right?", yes_no("Yes", "No"), "en"))
    assert outgoing.body == "Is this right?\n\n1 Yes\n2 No"
    assert outgoing.content.types["twilio/quick-reply"]["actions"] == [
        {"type": "QUICK_REPLY", "title": "Yes", "id": "mailbox.confirm:0"},
        {"type": "QUICK_REPLY", "title": "No", "id": "mailbox.confirm:1"},
    ]
    assert filled(outgoing) == outgoing.body


@pytest.mark.parametrize("id_", ["menu.choosing:admit:{}", "team.list:{}", "team.member-{}:pause"])
def test_choices_that_name_somebody_leave_nothing_at_twilio(id_):
    """A Content resource stays there for ever: names and ids of people do not belong into one."""
    button = Button(id_.format("1f0c2a34-0000-4000-8000-00000000000b"), "Ana Souza")
    outgoing = render(Message("Who?", (button, Button("team.list:menu", "Menu")), "en"))
    assert (outgoing.content, outgoing.body) == (None, "Who?\n\n1 Ana Souza\n2 Menu")


def test_four_to_ten_choices_are_a_list_in_the_persons_language():
    outgoing = render(Message("Quem?", yes_no("a", "b", "c", "d"), "pt"))
    picker = outgoing.content.types["twilio/list-picker"]
    assert picker["button"] == "Escolher"
    assert picker["items"][3] == {"id": "mailbox.confirm:3", "item": "d"}
    assert outgoing.content.language == "pt"


def test_labels_too_long_for_buttons_become_a_list_and_too_long_for_that_numbers():
    assert "twilio/list-picker" in render(Message("?", yes_no("x" * 24, "No"), "en")).content.types
    outgoing = render(Message("?", yes_no("x" * 25, "No"), "en"))
    assert (outgoing.content, outgoing.body) == (None, f"?\n\n1 {'x' * 25}\n2 No")


@pytest.mark.parametrize(
    "buttons",
    [
        yes_no(*"abcdefghijk"),
        yes_no("Same", "Same"),
        (Button("x" * 201, "Yes"),),
        (Button("a", "Yes"), Button("a", "No")),
        (Button("a", ""),),
    ],
    ids=["eleven", "same-label", "long-id", "same-id", "empty-label"],
)
def test_choices_that_whatsapp_cannot_show_are_numbers_only(buttons):
    outgoing = render(Message("Which?", buttons, "en"))
    assert outgoing.content is None
    assert outgoing.body.count("\n") == len(buttons) + 1


def test_nothing_of_what_is_said_to_one_person_is_in_the_content_resource():
    outgoing = render(Message(f"Hello Ana.\n\nType it here:\n{LINK}", yes_no("Done"), "en"))
    assert "Ana" not in json.dumps(outgoing.content.types)
    assert LINK not in json.dumps([outgoing.content.types, dict(outgoing.content.variables), outgoing.content.name])
    assert LINK in outgoing.variables.values()
    assert LINK not in repr(outgoing)


def test_the_same_question_has_the_same_resource_whoever_is_asked():
    first = render(Message("For ana@example.com?", yes_no("Yes", "No"), "en")).content
    second = render(Message("For rui@example.com?", yes_no("Yes", "No"), "en")).content
    assert first == second
    assert first.name != render(Message("For ana@example.com?", yes_no("Yes", "Nope"), "en")).content.name
    assert first.name != render(Message("For ana@example.com?", yes_no("Yes", "No"), "es")).content.name
    assert first.name != render(Message("For\nana@example.com?", yes_no("Yes", "No"), "en")).content.name


def test_blank_lines_and_runs_of_blanks_make_no_new_resource():
    tidy = render(Message("a\n\nb c", yes_no("Yes"), "en"))
    assert render(Message("\n a \r\n\n\n\nb\tc  \n", yes_no("Yes"), "en")) == tidy


def test_words_too_long_for_buttons_keep_their_numbers():
    outgoing = render(Message("x" * 1020, yes_no("Yes", "No"), "en"))
    assert (outgoing.content, outgoing.cut) == (None, False)
    assert outgoing.body.endswith("\n\n1 Yes\n2 No")


def test_words_in_very_many_lines_keep_their_numbers():
    assert render(Message("\n".join("abcdefghijklmno" * 3), yes_no("Yes"), "en")).content is None


def test_too_many_words_are_cut_at_their_end_and_the_choices_stay():
    outgoing = render(Message("x" * 5000, yes_no("Yes", "No"), "en"))
    assert outgoing.cut
    assert len(outgoing.body) == 1600
    assert outgoing.body.endswith("x…\n\n1 Yes\n2 No")


def test_too_many_choices_are_cut_too():
    outgoing = render(Message("Which?", yes_no(*["x" * 400] * 9), "en"))
    assert outgoing.cut
    assert outgoing.body.startswith("Which?\n\n1 xxx")
    assert len(outgoing.body) == 1600


def test_an_emoji_is_not_cut_in_half():
    body = render(Message("🙂" * 2000, (), "en")).body
    assert set(body) == {"🙂", "…"}
    assert len(body.encode("utf-16-le")) // 2 <= 1600


@pytest.mark.parametrize("body", ["", " \n\t\n "])
def test_a_message_without_a_word_is_a_fault_of_ours(body):
    with pytest.raises(ValueError, match="nothing to say"):
        render(Message(body, (), "en"))


def test_a_label_with_marks_in_it_is_harmless_as_text():
    assert render(Message("?", yes_no("a_b"), "en")).body == f"?\n\n1 a{HAIR}_{HAIR}b"


words = st.text(max_size=2500) | st.lists(st.text(max_size=60), max_size=40).map("\n".join)
button = st.builds(Button, id=st.text(max_size=210), label=st.text(max_size=30))
messages = st.builds(
    Message,
    body=words,
    buttons=st.lists(button, max_size=12).map(tuple),
    language=st.sampled_from(["en", "pt", "es"]),
)


@given(messages)
def test_whatever_is_said_keeps_every_limit(message):
    try:
        outgoing = render(message)
    except ValueError:
        assert not message.body.strip()
        assert not message.buttons
        return
    assert 0 < len(outgoing.body) <= 1600
    if outgoing.content is None:
        assert outgoing.variables == {}
        return
    assert len(outgoing.body) <= 1024
    assert not outgoing.cut
    assert filled(outgoing) == outgoing.body
    assert all(value and not re.search(r"[\n\r\t]| {5,}", value) for value in outgoing.variables.values())
    assert outgoing.content.variables.keys() == outgoing.variables.keys()
    kind, shape = next((kind, shape) for kind, shape in outgoing.content.types.items() if kind != "twilio/text")
    limits = {"twilio/quick-reply": (3, 20), "twilio/list-picker": (10, 24)}[kind]
    choices = shape.get("actions") or shape["items"]
    labels = [one.get("title") or one["item"] for one in choices]
    assert [one["id"] for one in choices] == [one.id for one in message.buttons]
    assert len(choices) <= limits[0]
    assert all(0 < len(label) <= limits[1] for label in labels)
    assert all(0 < len(one["id"]) <= 200 for one in choices)


def test_foreign_marks_never_stand_beside_a_word():
    shown = WhatsAppStyle().plain("*bold* _it_ ~no~ `code` smtp_relay_1")
    assert not re.search(r"[*_~]\S|[^\s][*_~]", shown)
    assert "`" not in shown
    assert re.sub(HAIR, "", shown).replace("\u02cb", "`") == "*bold* _it_ ~no~ `code` smtp_relay_1"


def test_code_is_mono_and_to_be_copied_as_it_is():
    assert WhatsAppStyle().code("smtp_relay_1.example.com") == "```smtp_relay_1.example.com```"


@pytest.mark.parametrize("text", ["a`b", "a```b", "a\nb", ""])
def test_code_that_mono_cannot_hold_is_plain(text):
    assert WhatsAppStyle().code(text) == WhatsAppStyle().plain(text)


def test_a_quote_is_one_on_every_line():
    assert WhatsAppStyle().quote("one *two*\n\nthree") == f"> one {HAIR}*{HAIR}two{HAIR}*{HAIR}\n> \n> three"
