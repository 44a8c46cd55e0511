"""The articles: complete, equal in three languages, short enough, with every documented fact and no outdated advice."""

import re
import tomllib
import unicodedata
from collections import Counter
from datetime import date
from pathlib import Path

import pytest

from flows import guide, questions
from flows.guide import articles
from flows.speech import Plain, render, texts
from flows.words import LANGUAGES, Say, Speak
from tests.flowkit import WORKS, facts

ROOT = Path(__file__).parent.parent
# The closed list of topics; the last three are routed or refused, not answered from an article.
TOPICS = """
what_is_it where_to_start find_smtp_settings gmail_settings outlook_settings other_provider_settings which_port_ssl
user_profile_setup which_password app_password_google app_password_other two_step_verification less_secure_apps
microsoft_smtp_auth auth_failed connection_problem certificate_problem sent_folder test_configuration save_failed
same_server_rule who_can_integrate admin_disabled change_password_later disable_or_remove is_it_secure limits_quota
spam_delivery from_address_alias attachments cost
""".split()  # noqa: SIM905 - a list of words reads as one
ROUTED = {"greeting", "talk_to_human", "out_of_scope"}
MAX_ANSWER, MAX_STEPS, MAX_TITLE, MAX_LABEL, MAX_PHRASE = 560, 950, 60, 20, 200
LEAST_PHRASINGS = 12
MAX_BODY = 1600  # of a WhatsApp message


def words_of(topic, language, part="article"):
    """An article as it is read."""
    known = facts(language=language)
    shown = (
        questions.shown_article(topic, known, "")
        if part == "article"
        else questions.read(f"steps.{topic}", topic, known, "")
    )
    says = tuple(one for one in shown.effects if isinstance(one, Say))
    return render(Speak(says), language, Plain(), lambda _: "").body


def plain(text):
    apart = unicodedata.normalize("NFKD", text.casefold())
    return " ".join(re.findall(r"\w+", "".join(sign for sign in apart if not unicodedata.combining(sign))))


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_topic_that_is_answered_has_its_article(language):
    assert sorted(articles(language)) == sorted(TOPICS)


@pytest.mark.parametrize("topic", TOPICS)
def test_an_article_is_the_same_in_three_languages_but_for_its_words(topic):
    said = {
        language: (one.related, one.action, bool(one.steps), one.checked)
        for language in LANGUAGES
        if (one := articles(language)[topic])
    }
    assert len(set(said.values())) == 1, said
    holes = {
        language: sorted(set(re.findall(r"\{(\w+)\}", articles(language)[topic].answer))) for language in LANGUAGES
    }
    assert len({len(names) > 0 for names in holes.values()}) == 1, holes


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("topic", TOPICS)
def test_an_article_is_complete_and_short(topic, language):
    one = articles(language)[topic]
    assert 0 < len(one.title) <= MAX_TITLE
    assert 0 < len(one.label) <= MAX_LABEL
    assert date(2026, 1, 1) <= one.checked
    assert one.sources
    assert 0 < len(one.related) <= 3
    assert set(one.related) <= set(TOPICS) - {topic}
    assert one.action in {"", "setup", "manage", "integrate", "card", "person"}
    assert 0 < len(words_of(topic, language)) <= MAX_ANSWER
    assert not one.steps or len(words_of(topic, language, "steps")) <= MAX_STEPS


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("topic", TOPICS)
def test_an_article_uses_the_marks_of_whatsapp_only(topic, language):
    one = articles(language)[topic]
    for line in (*one.answer.splitlines(), *one.steps.splitlines()):
        assert line.count("*") % 2 == 0, line
        assert not re.match(r"\s*([-*] |#)", line), line
        assert "**" not in line, line
        assert "](" not in line, line


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_phrasing_belongs_to_one_topic(language):
    phrases = [plain(words) for one in articles(language).values() for words in one.asks]
    assert [words for words, times in Counter(phrases).items() if times > 1] == []
    assert max(map(len, phrases)) <= MAX_PHRASE
    assert min(len(one.asks) for one in articles(language).values()) >= LEAST_PHRASINGS


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_not_answered_has_its_examples(language):
    kinds = guide.unanswered(language)
    assert set(kinds) == guide.OUT_OF_SCOPE | {guide.GREETING, guide.THANKS, guide.PERSON}
    assert all(len(rows) >= LEAST_PHRASINGS for rows in kinds.values())


@pytest.mark.parametrize("language", LANGUAGES)
def test_two_topics_never_have_the_same_button(language):
    labels = [one.label for one in articles(language).values()]
    assert len(set(labels)) == len(labels)


def test_ally_s_own_names_stand_in_one_table_only():
    """An article never writes a name of Ally's that could be misspelt: it takes it from the table."""
    table = tomllib.loads((ROOT / "flows/texts/ally_labels.toml").read_text(encoding="utf-8"))
    long_ones = ("own_smtp", "smtp_password", "test_smtp", "edit_profile", "smtp_email", "integrations")
    for language in LANGUAGES:
        for one in articles(language).values():
            spelt = [name for name in long_ones if table[name][language] in one.answer + one.steps]
            assert spelt == [], (language, one.topic)


# The documented guidance in seven facts (the Ally help article on SMTP), and where each is told.
FACTS = {
    "mail leaves from the own address and lies in Sent": ("what_is_it", "sent_folder"),
    "step 1: Settings, Integrations": ("where_to_start",),
    "step 2: host, port and SSL from IT or the provider, then Integrate": ("find_smtp_settings", "which_port_ssl"),
    "step 3: every user, own address and e-mail password, test, save": ("user_profile_setup", "which_password"),
    "trouble: two-step verification, less secure apps (outdated)": ("two_step_verification", "less_secure_apps"),
    "all users of one agency use the same mail server": ("same_server_rule",),
    "otherwise support": ("auth_failed",),
}
LABELS_TOLD = {
    "where_to_start": {"settings", "integrations"},
    "find_smtp_settings": {"host", "port", "ssl"},
    "user_profile_setup": {"edit_profile", "own_smtp", "smtp_email", "smtp_password", "test_smtp", "save"},
}


@pytest.mark.parametrize("fact", FACTS)
def test_every_documented_fact_is_told_by_an_article(fact):
    assert set(FACTS[fact]) <= set(TOPICS)
    for language in LANGUAGES:
        assert all(len(articles(language)[topic].answer) > 100 for topic in FACTS[fact])


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("topic", LABELS_TOLD)
def test_the_way_through_ally_is_told_with_ally_s_own_names(topic, language):
    one = articles(language)[topic]
    assert LABELS_TOLD[topic] <= set(re.findall(r"\{(\w+)\}", one.answer + one.steps))


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_outdated_is_told_with_the_day_since_when_it_is_not_true(language):
    for topic in ("two_step_verification", "less_secure_apps"):
        told = words_of(topic, language) + words_of(topic, language, "steps")
        assert re.search(r"20(22|24|25)", told), (topic, language)


OFF = {
    "en": r"(switch|turn) off (the )?(2-step|two-step)|(switch|turn) on (“)?less secure",
    "pt": r"^(desligue|desative) a verificação|ative (o acesso a )?apps menos",
    "es": r"^(desactiva|apaga) la verificación|activa (el acceso de )?apps menos",
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_nobody_is_told_to_weaken_an_account_first(language):
    for topic in TOPICS:
        first = words_of(topic, language).split(".")[0]
        assert not re.search(OFF[language], first, re.IGNORECASE), (topic, first)


@pytest.mark.parametrize("language", LANGUAGES)
def test_is_it_secure_says_what_a_password_opens_and_that_there_is_another_way(language):
    said = words_of("is_it_secure", language).casefold()
    whole = {"en": "whole mailbox", "pt": "inteira", "es": "buzón entero"}
    without = {"en": "without password", "pt": "sem senha", "es": "sin contraseña"}
    assert whole[language] in said
    assert without[language] in said


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_answer_leaves_room_for_every_short_question_behind_it(language):
    """With the menu's question and its buttons it is one message."""
    from flows.conversation import Envelope, Turn, close
    from flows.menu import Choosing

    known = facts(language=language, mailbox=WORKS, role="admin")
    two = []
    for topic in TOPICS:
        shown = questions.shown_article(topic, known, "menu")
        closed = close(Turn(Envelope("menu", Choosing()), shown.effects, ask=True, offer=shown.offer), known)
        if len(closed.effects) > 1:
            two.append((topic, len(words_of(topic, language))))
    assert two == []


def test_every_article_is_part_of_the_texts():
    assert {f"article.{topic}" for topic in TOPICS} <= texts("pt").keys()
    assert not any(name.removeprefix("article.") in ROUTED for name in texts("en"))
