"""Questions in the middle of everything: answered, and the pending question asked again, once."""

from dataclasses import replace
from functools import cache

import pytest

from bot.search import Search
from flows import compose, guide, integrate, mailbox, menu, questions, welcome
from flows.conversation import Envelope, awaits_secret, may_ask, understand
from flows.facts import Question
from flows.questions import READ, asks
from flows.speech import texts
from flows.words import (
    LANGUAGES,
    EraseAtProvider,
    NoteQuestion,
    NotHelpful,
    OpenCase,
    Say,
    SecretStored,
    SetLanguage,
    Speak,
    TestLogin,
)
from tests.flowkit import ADDRESS, CODE, GMAIL, WORKS, Player, facts

SEARCH = Search()
found = cache(SEARCH.find)
ASKS = {
    "en": "how much does it cost to connect my e-mail?",
    "pt": "quanto custa conectar o meu e-mail?",
    "es": "¿cuánto cuesta conectar mi correo?",
}
UNKNOWN = {
    "en": "what is the weather in lisbon tomorrow",
    "pt": "qual a previsão do tempo pra amanhã em lisboa",
    "es": "qué tiempo hace mañana en lisboa",
}


def member(*, search=SEARCH, hold=False, found=None, providers=None, **changes):
    """A member who has been greeted and stands in the menu, whose questions find their articles."""
    player = Player(known=facts(**changes), search=search, hold=hold, found=found or {}, providers=providers or {})
    player.write("hi")
    return player


def with_mailbox(**changes):
    return member(mailbox=WORKS, **changes)


def article(topic, language="en"):
    """Its first words, which hold no placeholder."""
    return texts(language)[f"article.{topic}"].partition("{")[0].partition("\n")[0][:60]


def said(player):
    return [part.name for effect in player.effects if isinstance(effect, Speak) for part in effect.parts]


def noted(player):
    return [effect for effect in player.effects if isinstance(effect, NoteQuestion)]


# --- in every flow, in every language ---------------------------------------------------------------------------------


def _welcome(language):
    player = Player(known=facts(agency="", role="", language=language), search=SEARCH)
    player.write("hi")
    return player


def _menu(language):
    return member(language=language)


def _address(language):
    player = member(language=language)
    player.tap("setup")
    return player


def _secret(language):
    player = _address(language)
    player.write(ADDRESS)
    return player


def _card(language):
    player = with_mailbox(language=language)
    player.tap("card")
    return player


def _recipient(language):
    player = with_mailbox(language=language)
    player.tap("write")
    return player


def _preview(language):
    player = _recipient(language)
    for words in ("bia@agency.test", "Hello", "How are you?"):
        player.write(words)
    return player


def _integrate(language):
    player = with_mailbox(language=language, role="admin")
    player.tap("integrate")
    return player


def _privacy(language):
    player = with_mailbox(language=language)
    player.tap("privacy")
    return player


def player_question(player):
    return said(player)[-1]


PLACES = [_welcome, _menu, _address, _secret, _card, _recipient, _preview, _integrate, _privacy]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("place", PLACES)
def test_a_question_is_answered_and_the_pending_one_asked_again_once(place, language):
    player = place(language)
    before = player.envelope
    asked = "talk.anything_else" if place is _menu else player_question(player)
    count = len(player.messages)
    shown = player.write(ASKS[language])
    assert article("cost", language) in shown
    assert said(player)[-1] == asked
    assert said(player).count("article.cost") == 1
    assert len(player.messages) - count <= 2
    after = player.envelope
    assert (after.flow, after.state, after.trail, after.ticket) == (
        before.flow, before.state, before.trail, before.ticket,
    )  # fmt: skip
    assert after.topic == "cost"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_question_in_the_words_of_a_mail_is_the_mail(language):
    player = _recipient(language)
    player.write("bia@agency.test")
    player.write(ASKS[language])
    assert isinstance(player.envelope.state, compose.Collecting)
    assert player.envelope.state.answers["subject"] == ASKS[language]
    assert noted(player) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_question_while_a_test_runs_is_answered(language):
    player = member(language=language, search=SEARCH, hold=True)
    player.tap("setup")
    player.write(ADDRESS)
    assert isinstance(player.envelope.state, mailbox.Finding)
    assert article("cost", language) in player.write(ASKS[language])
    assert isinstance(player.envelope.state, mailbox.Finding)


def test_a_question_for_the_company_that_is_paid_is_answered_and_a_name_is_a_name():
    from flows.words import ServerUnknown

    player = member(found={ADDRESS: ServerUnknown(ADDRESS)})
    player.tap("setup")
    player.write(ADDRESS)
    player.tap("unknown")
    assert isinstance(player.envelope.state, mailbox.Hosting)
    assert article("is_it_secure") in player.write("is it safe to give you my password?")
    assert isinstance(player.envelope.state, mailbox.Hosting)
    player.write("godaddy")
    assert not isinstance(player.envelope.state, mailbox.Hosting)


def test_a_question_where_the_error_is_asked_for_is_answered():
    player = with_mailbox()
    player.tap("card")
    player.tap("error")
    assert article("test_configuration") in player.write("where is the test button in ally?")


# --- first contact ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_stranger_s_first_message_may_be_a_question(language):
    player = Player(known=facts(agency="", role="", language=language), search=SEARCH)
    shown = player.write(ASKS[language])
    assert article("cost", language) in shown
    assert player_question(player) == "welcome.door"


def test_a_first_hello_is_no_question():
    player = Player(known=facts(agency="", role=""), search=SEARCH)
    player.write("hello there")
    assert said(player) == ["talk.intro", "welcome.door"]


def test_a_code_with_a_question_is_a_code():
    player = Player(known=facts(agency="", role=""), search=SEARCH)
    player.write(f"how do I start? {CODE}")
    assert player.known.agency


# --- below an answer --------------------------------------------------------------------------------------------------


def test_the_steps_are_one_tap_away_and_tell_when_they_were_looked_up():
    player = member()
    player.write("how do I create an app password at google?")
    player.tap(f"{READ}steps.app_password_google")
    assert said(player)[-3:] == ["article.steps.app_password_google", "guide.checked", "talk.anything_else"]


def test_an_answer_leads_to_deeds():
    player = member()
    player.write("where do I find host and port of my mail?")
    player.tap("go:mailbox") if "go:mailbox" in [b.id.partition(":")[2] for b in player.last.buttons] else player.tap(
        "setup"
    )
    assert player.envelope.flow == "mailbox"


def test_below_an_answer_the_menu_is_a_word_and_all_that_it_offered_still_works():
    player = with_mailbox()
    before = player.last.buttons
    player.write(ASKS["en"])
    assert len(player.last.buttons) <= 3
    write = next(button for button in before if button.id.endswith(":write"))
    player._message(write.label, write.id, "text")
    assert player.envelope.flow == "compose"
    player.write("cancel")
    player.write(ASKS["en"])
    player.write("Write an e-mail")
    assert player.envelope.flow == "compose"


def test_a_choice_below_an_answer_that_found_no_room_is_understood_by_its_words():
    player = member()
    player.write("how do I create an app password at google? and how many mails can I send per day?")
    assert len(player.last.buttons) == 3
    player.write("that's not it")
    assert any(isinstance(effect, NotHelpful) for effect in player.effects)


def test_what_is_being_done_is_not_offered():
    player = _address("en")
    player.write(ASKS["en"])
    values = [button.id.partition(":")[2] for button in player.last.buttons]
    assert not any(value.startswith("go:mailbox") for value in values)


@pytest.mark.parametrize(
    ("action", "changes", "expected"),
    [
        ("setup", {}, ["go:mailbox"]),
        ("setup", {"mailbox": WORKS}, ["go:mailbox.manage"]),
        ("setup", {"agency": "", "role": ""}, []),
        ("manage", {}, []),
        ("manage", {"mailbox": WORKS}, ["go:mailbox.manage"]),
        ("card", {"mailbox": WORKS}, ["go:card"]),
        ("card", {}, []),
        ("integrate", {}, []),
        ("integrate", {"role": "admin"}, ["go:integrate"]),
        ("person", {"agency": "", "role": ""}, ["go:person"]),
        ("", {}, []),
    ],
)
def test_the_button_of_an_article_is_there_for_those_who_can_use_it(action, changes, expected):
    offered = questions._action(action, facts(**changes), "compose")
    assert [option.value for option in offered] == expected


def test_the_wrong_answer_is_noted_and_others_are_offered():
    player = member()
    player.write("how do I create an app password at google?")
    player.tap(f"{READ}not")
    assert any(isinstance(effect, NotHelpful) for effect in player.effects)
    values = [button.id.partition(":")[2] for button in player.last.buttons]
    related = guide.article("app_password_google").related[:2]
    assert [f"{READ}{topic}" for topic in related] == [value for value in values if value.startswith(READ)]
    assert "go:person" in values or "person" in values
    player.tap(f"{READ}{related[0]}")
    assert f"article.{related[0]}" in said(player)
    assert player.envelope.topic == related[0]


def test_the_wrong_answer_to_nothing_offers_a_person():
    reply = questions.read("not", "", facts(), "menu")
    assert [option.value for option in reply.offer] == ["go:person"]


def test_an_article_is_read_from_an_old_button_too():
    player = member()
    player.write(ASKS["en"])
    player.tap("setup")
    player._message("Step by step", f"menu.choosing:{READ}steps.two_step_verification", "text")
    assert "article.steps.two_step_verification" in said(player)
    assert player.envelope.flow == "mailbox"


@pytest.mark.parametrize("target", ["nothing", "steps.nothing", "", "steps.", "../en/cost"])
def test_a_button_to_an_article_that_is_gone_is_closed(target):
    player = member()
    player._message("x", f"menu.choosing:{READ}{target}", "text")
    assert "talk.closed" in said(player)


def test_the_steps_of_an_article_without_any_are_the_article():
    without = next((one.topic for one in guide.articles("en").values() if not one.steps), None)
    if without is None:
        without = "cost"
        reply = questions.read("cost", "", facts(), "menu")
    else:
        reply = questions.read(f"steps.{without}", "", facts(), "menu")
    assert reply.effects[0].name == f"article.{without}"


# --- several, unsure, unknown -----------------------------------------------------------------------------------------


def asked(text, question, **changes):
    return questions.reply(text, facts(question=question, **changes), here="menu", resting=True, keep=True)


def test_the_second_of_two_questions_is_a_button():
    reply = asked("cost? and is it safe?", Question(("cost",), ("is_it_secure",), clear=True))
    assert [one.name for one in reply.effects if isinstance(one, Say)] == ["article.cost", "guide.also"]
    assert reply.offer[0].value == f"{READ}is_it_secure"


def test_between_two_topics_the_person_chooses():
    reply = asked("gmail password port", Question(("which_password", "which_port_ssl")))
    assert [one.name for one in reply.effects if isinstance(one, Say)] == ["guide.which"]
    assert [one.value for one in reply.offer] == [f"{READ}which_password", f"{READ}which_port_ssl"]


def test_a_likely_topic_is_answered_where_nothing_else_was_asked():
    assert asked("port", Question(("which_port_ssl",))).topic == "which_port_ssl"


def test_a_word_that_may_be_an_answer_is_no_question():
    question = Question(("which_port_ssl",))
    assert questions.reply("port", facts(question=question), here="mailbox", resting=False, keep=True) is None
    assert questions.reply("port", facts(), here="mailbox", resting=True, keep=True) is None


@pytest.mark.parametrize("kind", [*sorted(guide.OUT_OF_SCOPE), ""])
def test_what_is_not_in_the_guide_is_said_with_a_way_out(kind):
    reply = asked("something else entirely?", Question(kind=kind, clear=True))
    assert [one.name for one in reply.effects if isinstance(one, Say)] == [f"guide.{kind or 'unknown'}"]
    assert [one.value for one in reply.offer] == ["go:person"]
    assert reply.effects[0] == NoteQuestion("something else entirely?", "")


@pytest.mark.parametrize("kind", [guide.GREETING, guide.THANKS])
def test_a_greeting_is_returned_at_rest_and_never_noted(kind):
    reply = asked("hello my friend", Question(kind=kind, clear=True))
    assert reply.effects == (Say(f"guide.{kind}"),)
    question = Question(kind=kind, clear=True)
    assert questions.reply("thank you", facts(question=question), here="mailbox", resting=False, keep=True) is None


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_nobody_documented_is_not_answered(language):
    player = member(language=language)
    player.write(UNKNOWN[language])
    assert not any(name.startswith("article.") for name in said(player))
    assert any(name.startswith("guide.") for name in said(player))


@pytest.mark.parametrize(
    "words", ["I want to talk to a real person please", "quero falar com um atendente", "necesito hablar con alguien"]
)
def test_a_wish_for_a_person_in_whatever_words_opens_a_case(words):
    player = member()
    player.write(words)
    assert any(isinstance(effect, OpenCase) for effect in player.effects)


def test_a_server_that_is_asked_for_by_name_is_told():
    from flows.words import Server

    question = Question(
        ("other_provider_settings",), clear=True, provider="UOL", server=Server("smtps.uol.test", 587, "starttls")
    )
    reply = asked("uol smtp", question)
    assert [one.name for one in reply.effects if isinstance(one, Say)] == [
        "guide.server",
        "article.other_provider_settings",
    ]
    with pytest.raises(LookupError):
        questions._server(replace(question, server=None))


def test_what_only_points_at_a_question_is_no_question_of_its_own():
    for words in ("what is that?", "o que é isso", "¿Qué es eso?", "não entendi"):
        player = _address("en")
        player.write(words)
        assert not any(name.startswith("article.") for name in said(player)), words
        assert questions.points(words)
    player = member()
    player.write("what is this?")  # at rest it can only be the whole
    assert "article.what_is_it" in said(player)


def test_a_word_that_means_nothing_is_neither_abuse_nor_a_question():
    player = _welcome("en")
    player.tap("invitation")
    player.write("ABCD-1234")
    assert said(player)[-2:] == ["welcome.no_code", "welcome.code"]
    resting = member()
    resting.write("xqzkw")
    assert said(resting)[-2] == "talk.not_understood"


def test_the_flow_says_why_something_was_no_answer_unless_it_is_a_question():
    player = _recipient("en")
    player.write("to all my clients")
    assert said(player)[-2:] == ["compose.no_mass_mail", "compose.to"]
    player.write("what is the weather tomorrow in lisbon?")
    assert said(player)[-2] == "guide.elsewhere"


# --- languages --------------------------------------------------------------------------------------------------------


def test_a_question_in_another_language_is_answered_in_it_and_the_talk_goes_on_in_it():
    player = member()
    shown = player.write("¿cuánto cuesta conectar mi correo con ally?")
    assert SetLanguage("es") in player.effects
    assert article("cost", "es") in shown
    assert texts("es")["menu.without_mailbox"].partition("{")[0][:10] in shown


def test_the_language_follows_what_is_surely_written_even_where_it_is_not_understood():
    player = _address("en")
    player.write("mi dirección la tengo apuntada en algún papel de por aquí")
    assert player.known.language == "es"
    other = Player(known=facts(agency="", role="", language="en"), search=SEARCH)
    other.write("hola buenos días, ¿cómo estás?")
    assert other.known.language == "es"
    assert texts("es")["welcome.door"] in other.last.body


def test_who_wants_to_begin_and_belongs_to_no_agency_reads_what_comes_first_and_who_asks_where_is_told():
    player = Player(known=facts(agency="", role="", language="en"), search=SEARCH)
    player.write("hi, I want to put my email into the system")
    assert player.last.body.endswith(texts("en")["welcome.door"])
    assert len(player.last.body) < 600  # the greeting and the door, no article between them
    player.write("I want to connect my email")
    assert player.last.body == texts("en")["welcome.door"]
    player.write("where do I find the integrations menu?")
    assert "Begin right here" in player.last.body


def test_two_words_change_no_language():
    player = member(language="pt")
    player.write("smtp gmail")
    assert player.known.language == "pt"
    assert not any(isinstance(effect, SetLanguage) for effect in player.effects)


# --- follow-ups -------------------------------------------------------------------------------------------------------


def test_and_for_another_provider_goes_on_from_the_last_answer(monkeypatch):
    families = {"outlook": "microsoft", "gmail": "google"}
    search = Search(lambda text: next((family for name, family in families.items() if name in text.casefold()), None))
    player = member(search=search)
    player.write("smtp settings of gmail?")
    player.write("and for outlook?")
    assert [name for name in said(player) if name.startswith("article.")] == [
        "article.gmail_settings", "article.outlook_settings",
    ]  # fmt: skip


# --- while a secret is awaited ----------------------------------------------------------------------------------------


def waiting_for(language, provider=GMAIL):
    player = member(language=language, search=SEARCH, providers={"agency.test": provider} if provider else {})
    player.tap("setup")
    player.write(ADDRESS)
    assert awaits_secret(player.envelope)
    return player


@pytest.mark.parametrize("provider", [GMAIL, replace(GMAIL, shape="apple16"), None], ids=["google", "apple", "any"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_no_phrase_of_the_guide_said_there_ever_starts_a_sign_in(language, provider):
    envelope = waiting_for(language, provider).envelope
    phrases = [words for one in guide.articles(language).values() for words in (*one.asks, one.title)]
    phrases += [words for rows in guide.unanswered(language).values() for words in rows]
    known = facts(language=language, provider=provider)
    taken = []
    for words in phrases:
        question = found(words) if may_ask(envelope, words) else None
        meant = understand(envelope, words, None, "text", replace(known, question=question))
        if getattr(meant, "taken", False):
            taken.append(words)
    assert taken == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_question_while_a_secret_is_awaited_is_answered_in_memory_and_not_noted(language):
    player = waiting_for(language)
    link = player.envelope.state.link_id
    player.effects.clear()
    assert article("cost", language) in player.write(ASKS[language])
    assert all(note.words == "" for note in noted(player))
    assert any(isinstance(effect, EraseAtProvider) for effect in player.effects)
    assert ASKS[language] not in player.saved
    player.happens(SecretStored("secret-9", link))
    assert any(isinstance(effect, TestLogin) for effect in player.effects)


@pytest.mark.parametrize("words", ["gmail smtp", "senha app google", "2fa?"])
def test_two_words_of_the_guide_are_no_password(words):
    player = waiting_for("en")
    player.write(words)
    assert isinstance(player.envelope.state, mailbox.AwaitingSecret)
    assert any(name.startswith("article.") for name in said(player))


@pytest.mark.parametrize("words", ["contrasena", "Girafa#22", "abcd efgh ijkl mnop", "correct horse1", "password1"])
def test_what_may_be_a_password_is_still_asked_about_or_taken(words):
    player = waiting_for("en")
    player.write(words)
    assert not any(name.startswith("article.") for name in said(player))


# --- what may be a question -------------------------------------------------------------------------------------------


def test_choices_commands_and_mails_are_no_questions():
    player = member()
    envelope = player.envelope
    assert not may_ask(envelope, "1")
    assert not may_ask(envelope, "menu")
    assert not may_ask(replace(envelope, silent=True), ASKS["en"])
    assert may_ask(envelope, ASKS["en"])
    assert may_ask(Envelope(), ASKS["en"])
    writing = compose.Collecting({"to": "bia@agency.test"}, "subject")
    assert not may_ask(Envelope("compose", writing), ASKS["en"])


def test_an_address_at_the_menu_begins_the_set_up_with_it():
    player = member()
    player.write(ADDRESS)
    assert isinstance(player.envelope.state, mailbox.AwaitingSecret)
    assert player.envelope.state.account.address == ADDRESS


def test_an_address_at_the_menu_of_somebody_who_has_one_changes_nothing():
    player = with_mailbox()
    player.write("other@agency.test")
    assert isinstance(player.envelope.state, menu.Choosing)


def test_every_flow_has_its_place_in_this_file():
    flows = {place("en").envelope.flow for place in PLACES}
    assert flows == {"welcome", "menu", "mailbox", "card", "compose", "integrate", "privacy"}
    assert {welcome.FLOW.name, integrate.FLOW.name} <= flows


@pytest.mark.parametrize("asked", ["what is smtp", "Como funciona isso", "qué es smtp", "por que precisa da senha"])
def test_a_question_without_its_mark_is_one(asked):
    assert asks(asked)


@pytest.mark.parametrize("said", ["what", "Como Viajes", "mail.agency.test", "whatever works", "ana@sol.test", "465"])
def test_an_answer_that_begins_like_one_is_none(said):
    assert not asks(said)


def test_a_question_without_its_mark_is_answered_where_an_answer_is_awaited():
    player = member(search=SEARCH)
    player.tap("setup")
    assert player.write("what is smtp").startswith(texts("en")["guide.which"])
    assert article("cost") in player.write("how much is it")
