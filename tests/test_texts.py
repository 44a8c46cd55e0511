"""Every sentence that a person reads: the same in three languages, short, plain, used, and none too many."""

import ast
import re
import string
import sys
import unicodedata
from pathlib import Path
from typing import get_args

import pytest
import yaml

from bot.mail.knowledge.explain import causes
from bot.mail.knowledge.provider import Hint
from bot.mail.wire.certificate import Detail
from flows import board, compose, integrate, mailbox, remedies, welcome
from flows.conversation import FLOWS
from flows.facts import MailboxState, Teammate
from flows.speech import label, texts
from flows.words import LANGUAGES, LoginFailed, MailAccepted, Speak
from tests.flowkit import ADDRESS, ANA, CODE, GMAIL, WORKS, Player, facts, shown
from tests.situations import TEAM, situations

ROOT = Path(__file__).parent.parent
EN = texts("en")
OURS = [name for name in EN if not name.startswith(("ally.", "article."))]  # Ally's labels are Ally's; see test_guide
MAX_BUTTONS, MAX_BUTTON, MAX_ITEM = 3, 20, 24
MAX_BODY, MAX_BODY_WITH_BUTTONS = 1600, 1024


def placeholders(text):
    return sorted({name for _, name, _, _ in string.Formatter().parse(text) if name is not None})


def size(text):
    """Its length as WhatsApp counts: most emoji are two."""
    return len(text.encode("utf-16-le")) // 2


# --- the same in three languages --------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_all_languages_have_the_same_names_with_the_same_placeholders(language):
    ours = {name: placeholders(text) for name, text in texts(language).items()}
    assert ours == {name: placeholders(text) for name, text in EN.items()}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_text_has_words_and_neither_double_blanks_nor_two_emoji(language):
    for name, text in texts(language).items():
        assert text, name
        assert "  " not in text, name
        assert " \n" not in text, name
        assert sum(unicodedata.category(sign) == "So" for sign in text) <= 1, name


@pytest.mark.parametrize("language", LANGUAGES)
def test_bold_marks_come_in_pairs_on_one_line(language):
    for name in OURS:
        for line in texts(language)[name].splitlines():
            assert line.count("*") % 2 == 0, name


def test_no_language_is_left_in_another_one():
    """Short words may be alike; a whole sentence that is the same in two languages was not translated."""
    for one, other in (("en", "pt"), ("en", "es"), ("pt", "es")):
        alike = [name for name in OURS if texts(one)[name] == texts(other)[name] and len(EN[name].split()) > 3]
        assert alike == [], (one, other)


WRONG_VOICE = {
    "pt": r"\b(tu|teu|teus|tua|tuas|contigo|vós|vosso|vossa)\b",  # você
    "es": r"\b(usted|ustedes|vos|vosotros|vosotras|vuestro|vuestra|haga|escriba|pulse|ordenador)\b",  # tú, neutral
    "en": r"\b(kindly|utilize|invalid|successfully|credentials|oops)\b",  # plain
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_voice_is_kept(language):
    spoken = {
        name: text for name, text in texts(language).items() if re.search(WRONG_VOICE[language], text, re.IGNORECASE)
    }
    assert spoken == {}


# --- used, and complete -----------------------------------------------------------------------------------------------


def _names_in(path):
    """Whole names, and patterns of names that are put together, as they stand in a Python file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Constant(str(text)):
                yield re.escape(text)
            case ast.JoinedStr([ast.Constant(str(begin)), *_] as parts) if "." in begin:
                yield "".join(re.escape(part.value) if isinstance(part, ast.Constant) else r"[\w.]+" for part in parts)


def _names_in_page(path):
    """The same of a page: a quoted name, or the beginning of one that `~` goes on with."""
    for name, goes_on in re.findall(r"""["']([\w.]+)["'](\s*~)?""", path.read_text(encoding="utf-8")):
        yield re.escape(name) + (r"[\w.]+" if goes_on else "")


def used_names():
    python = [path for room in ("flows", "bot") for path in (ROOT / room).rglob("*.py")]
    pages = list((ROOT / "bot").rglob("*.html"))
    patterns = {name for path in python for name in _names_in(path)}
    patterns |= {name for path in pages for name in _names_in_page(path)}
    forms = {
        f"{form.flow}.{field.name}"
        for form in (mailbox.FORM, compose.FORM, integrate.FORM, welcome.FORM)
        for field in form.fields
    }
    everything = re.compile("|".join(patterns))
    elsewhere = {f"slack.{name}" for name in OURS}  # the same sentences, said otherwise in Slack
    return {name for name in OURS if everything.fullmatch(name)} | forms | (elsewhere & set(OURS))


def test_every_sentence_is_used():
    assert sorted(set(OURS) - used_names()) == []


def test_a_sentence_that_nobody_says_would_be_found(monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "OURS", [*OURS, "talk.goodbye"])
    assert "talk.goodbye" not in used_names()


def test_every_cause_of_the_closed_list_has_its_sentence():
    causes = yaml.safe_load((ROOT / "bot/mail/knowledge/causes.yaml").read_text(encoding="utf-8"))
    assert {f"cause.{cause}" for cause in causes} == {name for name in OURS if name.startswith("cause.")}
    assert {cause for cause in remedies.SECRET_CAUSES if f"cause.{cause}" not in EN} == set()


def test_every_hint_and_every_verdict_has_its_sentence():
    for hint in get_args(Hint):
        kind = remedies.SECRET_KINDS.get(hint, "secret")
        assert hint == "password" or f"hint.{hint}" in EN
        assert f"mailbox.{kind}" in EN
    assert {f"mailbox.state.{state}" for state in get_args(MailboxState)} == {
        name for name in EN if name.startswith("mailbox.state.")
    }
    assert {f"detail.{detail}" for detail in get_args(Detail) if detail} <= EN.keys()


def test_what_only_others_can_mend_has_words_to_forward():
    told = {name for name, cause in causes().items() if cause.who in {"agency_admin", "provider"}}
    assert told - {name for name in told if f"forward.{name}" in EN} == {"connection_dropped"}


def test_every_field_that_can_be_called_wrong_has_its_words():
    fields = {f"field.{flow.name}.{name}" for flow in FLOWS.values() for name in flow.fields}
    assert fields == {name for name in OURS if name.startswith("field.")}


# --- lengths ----------------------------------------------------------------------------------------------------------


def questions():
    """Every question of every state, with the facts that change it."""
    for name, flow, state, known in situations():
        yield name, FLOWS[flow].ask(state, known)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_question_fits_into_whatsapp_s_buttons_or_list(language):
    for name, asked in questions():
        labels = [label(option, language) for option in asked.options]
        most = MAX_BUTTON if len(labels) <= MAX_BUTTONS else MAX_ITEM
        assert len(labels) <= 10, name
        assert len(set(labels)) == len(labels), (name, labels)
        assert all(0 < size(one) <= most for one in labels), (name, labels)


def on_homes():
    """Every choice on every kind of home."""
    many = tuple(Teammate(f"m{number}", f"Fulana {number}", "member") for number in range(3 * board.PAGE))
    for known in (
        facts(),
        facts(mailbox=WORKS),
        facts(role="admin", team=TEAM),
        facts(role="admin", team=TEAM, mailbox=WORKS, agency_server=ANA.server),
        facts(role="admin", team=many),
    ):
        for part in board.home(known, 1):
            yield from getattr(part, "options", ())


def test_every_label_stands_on_a_button():
    shown_somewhere = {option.label for _, asked in questions() for option in asked.options}
    shown_somewhere |= {option.label for option in on_homes()}
    labels = {name for name in OURS if ".button." in f".{name}"}
    # The conversation's own, the news', those of the desk (see test_desk), and those below an answer of the guide
    own = {"talk.button.command", "talk.button.text", "menu.button.switched_on"}
    own |= {name for name in OURS if name.startswith(("news.button.", "desk.button.", "handoff.button."))}
    assert labels - shown_somewhere == own | {"guide.button.steps", "guide.button.not"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_label_fits_into_a_list(language):
    labels = {name: text for name, text in texts(language).items() if ".button." in f".{name}"}
    assert {name: text for name, text in labels.items() if size(text) > MAX_ITEM} == {}
    offered = [texts(language)[name] for name in ("button.person", "menu.button.mailbox")]
    assert all(size(one) <= MAX_BUTTON for one in offered)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_sentence_leaves_room_for_the_question_behind_it(language):
    long = {name: len(text) for name, text in texts(language).items() if len(text) > 480}
    assert {name: length for name, length in long.items() if not name.startswith(("page.", "web.", "article."))} == {}


# --- the member's main path -------------------------------------------------------------------------------------------

JARGON = re.compile(
    r"\b(smtps?|imap|pop3?|hosts?|ports?|portas?|puertos?|tls|ssl|starttls|tokens?|oauth|dns|mx|auth|relay|spf|dkim|dmarc"
    r"|tcp|ip|api|url|proxy|tenants?|mailserver|handshake|timeout)\b",
    re.IGNORECASE,
)
# What we understand, what Ally prints, what administrators are sent, and what answers those who use such words.
RECOGNISED = ("field.", "ally.", "forward.", "admin.", "article.")


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_that_a_member_reads_is_jargon(language):
    spoken = {name: text for name, text in texts(language).items() if not name.startswith(RECOGNISED)}
    found = {name: JARGON.findall(re.sub(r"\{\w+\}", "", text)) for name, text in spoken.items()}
    assert {name: words for name, words in found.items() if words} == {}


def joined(language, **changes):
    """Somebody who sends the sentence of their invitation link; its sending is a tap, not typing."""
    player = Player(known=facts(agency="", role="", language=language), **changes)
    player.write(texts(language)["invitation.text"].format(code=CODE))
    player.typed = 0
    return player


def _without(body, words):
    for one in sorted(words, key=len, reverse=True):
        body = body.replace(one, "")
    return body


def set_up(language, **changes):
    player = joined(language, **changes)
    player.write(ADDRESS)
    player.fill_page()
    player.typed += 1
    return player


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("providers", [{"agency.test": GMAIL}, {}], ids=["gmail", "hoster"])
def test_the_main_set_up_costs_at_most_six_messages_and_two_things_typed(language, providers):
    player = set_up(language, providers=providers)
    assert player.known.mailbox == WORKS
    assert (len(player.messages), player.typed) == (4, 2)
    assert len(player.messages) <= 6
    printed_by_ally = [text for name, text in texts(language).items() if name.startswith("ally.")]
    ours = [_without(message.body, printed_by_ally) for message in player.messages]
    assert all(not JARGON.search(body) for body in ours)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_wrong_password_costs_two_messages_and_the_right_one(language):
    wrong = LoginFailed("wrong_credentials", "user", retry=False)
    player = set_up(language, logins=[wrong])
    player.fill_page()
    assert player.known.mailbox == WORKS
    assert len(player.messages) == 4 + 2


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_mail_costs_five_messages_and_the_one_that_says_it_was_taken(language):
    player = set_up(language)
    player.tap("done")
    before = len(player.messages)
    player.tap("write")
    for words in ("bia@agency.test", "Hello", "How are you?"):
        player.write(words)
    player.tap("send")
    player.happens(MailAccepted("m", "bia@agency.test"))
    assert len(player.messages) - before == 6
    assert texts(language)["menu.button.write"] in [button.label for button in player.last.buttons]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_first_message_fits_with_every_first_question(language):
    for known in (facts(agency="", role=""), facts(), facts(mailbox=WORKS)):
        player = Player(known=facts(language=language, agency=known.agency, role=known.role, mailbox=known.mailbox))
        player.write("hi")
        player.write("help")
        speaks = [effect for effect in player.effects if isinstance(effect, Speak)]
        assert len(speaks) == 2
        for speak in speaks:
            message = shown(speak, language)
            assert len(message.body) <= (MAX_BODY_WITH_BUTTONS if message.buttons else MAX_BODY)
