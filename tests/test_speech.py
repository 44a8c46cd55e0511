"""From what is to be said to words."""

from datetime import date

import pytest

from flows.speech import (
    MAX_CODE,
    MAX_QUOTE,
    MAX_QUOTED_LINES,
    Button,
    Message,
    Plain,
    has,
    label,
    render,
    sentence,
    shortened,
    texts,
)
from flows.words import LANGUAGES, Code, Link, Option, Quote, Say, Speak, Text


class Marked(Plain):
    """A channel that sets everything apart, so that a test sees what passed through it."""

    def plain(self, text):
        return f"({text})"

    def code(self, text):
        return f"<{text}>"


def spoken(say, language="en", style=None):
    return render(Speak((say,)), language, style or Marked(), lambda link: f"https://x.test/{link.id}").body


def test_what_belongs_together_is_one_message_with_the_question_at_its_end():
    speak = Speak((Say("talk.left"), Say("mailbox.stuck")), "mailbox.stuck", (Option("retry", "mailbox.button.retry"),))
    message = render(speak, "en", Plain(), lambda _: "")
    body = f"{texts('en')['talk.left']}\n\n{texts('en')['mailbox.stuck']}"
    assert message == Message(body, (Button("mailbox.stuck:retry", "Try again"),), "en", "mailbox.stuck")


def test_every_kind_of_value_passes_through_the_channel_s_style():
    assert "*(Agency)*" in spoken(Say("welcome.joined", {"agency": "Agency"}))
    assert "<x.test>" in spoken(Say("welcome.code", {"example": Code("x.test")}))
    assert "number *7*" in spoken(Say("handoff.opened", {"contact": "c", "number": 7, "summary": "s"}))
    assert texts("en")["cause.greylisted"] in spoken(Say("news.mail_refused", {"why": Text("cause.greylisted")}))
    values = {"address": "a", "domain": "d", "link": Link("7")}
    assert spoken(Say("mailbox.secret", values)).endswith("\nhttps://x.test/7")


@pytest.mark.parametrize(
    ("language", "written"), [("en", "2 March 2026"), ("pt", "2 de março de 2026"), ("es", "2 de marzo de 2026")]
)
def test_a_day_is_written_as_the_language_writes_it(language, written):
    values = {"provider": "P", "address": "a", "checked": date(2026, 3, 2)}
    assert written in spoken(Say("hint.cannot_work", values), language)


def test_braces_in_a_value_are_only_text():
    assert "({operator})" in spoken(Say("welcome.joined", {"agency": "{operator}"}))


def test_the_person_s_own_words_are_quoted_line_by_line_and_not_at_length():
    values = dict.fromkeys(("name", "address", "to"), "")
    quoted = spoken(Say("compose.preview", {**values, "subject": Quote("a\nb"), "text": Quote("x" * 999)}))
    assert "\n> a\n> b\n" in quoted
    assert f"> {'x' * MAX_QUOTE}…" in quoted


def test_a_text_is_shortened_by_its_length_and_by_its_lines():
    assert shortened("short", 10) == "short"
    assert shortened("exactly ten"[:10], 10) == "exactly te"
    assert shortened("more than ten", 10) == "more than…"
    assert shortened("a\n" * 99, MAX_QUOTE) == "a\n" * (MAX_QUOTED_LINES - 1) + "a…"


def test_a_very_long_name_keeps_its_beginning_and_its_end():
    long = "mail.bank.test." + "x" * 300 + ".evil.test"
    shown = spoken(Say("welcome.code", {"example": Code(long)}))
    assert "<mail.bank.test." in shown
    assert ".evil.test>" in shown
    assert len(shown) < len(texts("en")["welcome.code"]) + MAX_CODE


def test_a_label_is_a_name_or_ready_words():
    assert label(Option("x", words="465"), "pt") == "465"
    assert label(Option("x", "button.person"), "pt") == "Falar com alguém"


def test_a_sentence_by_name_is_for_pages():
    assert sentence("mailbox.too_many_tests", "en", minutes="5").endswith("wait 5 minutes.")
    assert has("talk.intro")
    assert not has("talk.nothing")


@pytest.mark.parametrize("language", LANGUAGES)
def test_ally_s_own_labels_can_be_used_by_every_text(language):
    assert texts(language)["ally.save"] == {"en": "Save", "pt": "Editar", "es": "Editar"}[language]
