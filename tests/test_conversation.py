"""What surrounds every flow, played as a person would meet it; between every two messages the state is JSON."""

from dataclasses import replace

import pytest

from flows import compose, mailbox, menu, welcome
from flows.conversation import (
    FLOWS,
    MAX_OPTIONS,
    Asked,
    Envelope,
    Secretive,
    Turn,
    awaits_secret,
    close,
    converse,
    guess_language,
    merged,
    private,
    records,
    restarted,
    subject,
    takes_files,
    understand,
    worth_a_nudge,
)
from flows.facts import Mailbox, Pasted
from flows.speech import texts
from flows.words import (
    LANGUAGES,
    AdminNeeded,
    Chose,
    CopyMissing,
    Discover,
    Done,
    EraseAtProvider,
    EraseEverything,
    EraseSecret,
    FileLost,
    FileShared,
    Judged,
    Lay,
    LinkRefused,
    LoginFailed,
    LoginWorked,
    MailAccepted,
    MailboxBroke,
    MailboxWaits,
    MailboxWorks,
    MailRefused,
    MailUnknown,
    MailWaits,
    MemberDiffers,
    OpenCase,
    Option,
    ProofAsked,
    RetryWaiting,
    Said,
    Say,
    SecretLeaked,
    SecretSuspected,
    SecretTyped,
    SendMail,
    ServerFound,
    ServerUnknown,
    SetLanguage,
    SetMessages,
    Shared,
    Speak,
    Start,
    Tapped,
    TellAdmins,
    TestLogin,
    TestSlow,
    TurnFailed,
)
from tests.flowkit import (
    ADDRESS,
    ANA,
    CODE,
    ELSEWHERE,
    GMAIL,
    HOUSE,
    WORKS,
    Player,
    asked_for_the_secret,
    erased,
    facts,
    member,
    with_mailbox,
)

EN = texts("en")


def effects_of(player, kind):
    return [effect for effect in player.effects if isinstance(effect, kind)]


def labels(player):
    return [button.label for button in player.last.buttons]


def writing(player):
    """Up to the question for the subject, which any words fit."""
    player.tap("write")
    player.write("bia@agency.test")
    return player


# --- the first message ------------------------------------------------------------------------------------------------


def test_the_first_message_says_whose_assistant_this_is_and_asks_the_first_question_in_one_message():
    player = Player()
    read = player.write("hi")
    assert len(player.messages) == 1
    assert "Example Tools" in read
    assert "90 days" in read
    assert "https://bot.example.test/privacy" in read
    assert "*erase*" in read
    assert EN["welcome.door"] in read
    assert [button.id for button in player.last.buttons] == [
        "welcome.door:invitation", "welcome.door:access", "welcome.door:person",
    ]  # fmt: skip
    assert EN["talk.not_understood"] not in read


def test_a_greeting_is_said_once():
    player = Player()
    player.write("hi")
    assert "automatic assistant" not in player.write("hello?")


def test_an_invitation_is_accepted_with_the_very_first_message():
    player = Player()
    read = player.write(f"Hello! I'd like to connect my e-mail to Ally. My invitation code is {CODE}.")
    assert len(player.messages) == 1
    assert "automatic assistant" in read
    assert "connected to *Agency*" in read
    assert "Which *e-mail address*" in read


def test_a_bad_code_in_the_first_message_is_explained_after_the_greeting():
    player = Player()
    read = player.write("My code is 3333-4444-6666")
    assert "automatic assistant" in read
    assert EN["welcome.refused.unknown"] in read
    assert read.endswith(EN["welcome.door"])


@pytest.mark.parametrize("kind", ["image", "voice"])
def test_a_first_picture_is_greeted_without_a_complaint(kind):
    player = Player()
    assert EN[f"talk.shared.{kind}"] not in player.share(kind)


def test_a_first_command_is_obeyed_after_the_greeting():
    player = Player()
    assert EN["talk.stopped"] in player.write("stop")
    assert player.envelope.silent
    other = Player()
    assert "Shall I erase all of it?" in other.write("erase")
    third = Player()
    assert texts("pt")["welcome.door"] in third.write("português")


def test_a_password_as_the_first_message_is_warned_about():
    player = Player()
    assert EN["talk.leaked"] in player.write("Girafa#22")
    assert effects_of(player, EraseAtProvider)


# --- choices ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("typed", ["1", "Connect my e-mail", "connect my email", "CONECT MY E-MAIL!"])
def test_a_choice_can_be_typed_as_its_number_its_label_or_nearly(typed):
    assert "Which *e-mail address*" in member().write(typed)


def test_two_means_what_the_person_saw_even_if_the_menu_has_changed_since():
    player = with_mailbox()
    assert labels(player)[1] == "My e-mail settings"
    player.known = replace(player.known, mailbox=Mailbox(ANA, "off"))  # "write" is no longer offered
    assert "What would you like to change?" in player.write("2")


def test_a_thumb_says_yes_to_a_server_and_to_sending():
    player = member(mailbox=None)
    player.found[ADDRESS] = ServerFound(ELSEWHERE, confirm=True)
    player.tap("setup")
    assert "Is that right?" in player.write(ADDRESS)
    assert "Now the password" in player.write("👍🏽")
    other = writing(with_mailbox())
    other.write("Hello")
    other.write("How are you?")
    other.write("👍")
    assert effects_of(other, SendMail) == [SendMail(("bia@agency.test",), "Hello", "How are you?")]


def test_the_label_of_a_button_is_the_button_even_where_it_is_a_command_word():
    player = with_mailbox()
    player.tap("mailbox")
    assert "Shall I remove" in player.write("Remove")
    assert EN["mailbox.removed"] in player.write("Remove")


def test_the_word_that_led_to_the_erasure_confirms_it():
    player = with_mailbox()
    assert "Shall I erase all of it?" in player.write("erase")
    assert EN["privacy.erased"] in player.write("Erase!")
    assert effects_of(player, EraseEverything)


def test_a_button_of_an_older_question_is_closed_and_the_current_one_is_asked_again():
    player = with_mailbox()
    player.tap("mailbox")
    player.tap("menu")
    old = next(button for message in player.messages for button in message.buttons if button.id.endswith(":password"))
    read = player._message(old.label, old.id, "text")
    assert EN["talk.closed"] in read
    assert "What would you like to do?" in read


def test_a_value_that_was_never_offered_is_closed_too():
    player = member()
    assert EN["talk.closed"] in player._message("x", "menu.choosing:write_home", "text")
    assert EN["talk.closed"] in player._message("x", "nonsense", "text")


# --- free text and commands -------------------------------------------------------------------------------------------


def test_a_lone_command_word_in_free_text_is_asked_about():
    player = writing(with_mailbox())
    assert "Is “cancel” a command for me, or is it part of your text?" in player.write("cancel")
    assert labels(player) == ["A command", "Part of my text"]
    player.tap("text")
    assert player.envelope.state.answers["subject"] == "cancel"


def test_a_doubted_word_can_be_meant_as_a_command():
    player = writing(with_mailbox())
    player.write("cancel")
    read = player.tap("command")
    assert EN["talk.left"] in read
    assert player.envelope.flow == "menu"


def test_a_doubted_word_that_is_said_again_is_a_command():
    player = writing(with_mailbox())
    player.write("stop")
    assert EN["talk.stopped"] in player.write("STOP!")


def test_other_words_after_the_doubt_are_the_text():
    player = writing(with_mailbox())
    player.write("menu")
    player.write("Our new menu")
    assert player.envelope.state.answers["subject"] == "Our new menu"
    assert player.envelope.doubt == ""


def test_the_doubt_is_asked_again_after_a_picture_and_after_news():
    player = writing(with_mailbox())
    player.write("menu")
    assert "Is “menu” a command" in player.share("image")
    assert "Is “menu” a command" in player.happens(MailAccepted("m", "bia@agency.test"))
    assert "Is “menu” a command" in player._message("x", "menu.choosing:language", "text")


def test_another_command_word_is_another_doubt():
    player = writing(with_mailbox())
    player.write("menu")
    assert "Is “back” a command" in player.write("back")


def test_the_word_link_never_becomes_part_of_a_mail():
    player = writing(with_mailbox())
    player.write("link")
    read = player.tap("command")
    assert EN["talk.no_link"] in read
    assert "subject" not in player.envelope.state.answers


def test_a_sentence_with_a_command_word_in_it_is_text():
    player = writing(with_mailbox())
    player.write("Please stop by tomorrow")
    assert player.envelope.state.answers["subject"] == "Please stop by tomorrow"


@pytest.mark.parametrize("word", ["help", "ajuda", "ayuda", "?"])
def test_help_says_what_can_always_be_written_then_the_question_again(word):
    player = member()
    read = player.write(word)
    assert "You can always write" in read
    assert "What would you like to do?" in read


def test_again_repeats_the_question_and_nothing_else():
    player = member()
    player.write("again")
    before = player.last
    player.write("again")
    assert player.last == before
    assert before.body.startswith("*Agency*: your e-mail is not connected yet.")


def test_cancel_leaves_a_task_for_the_menu_and_in_the_menu_it_only_asks_again():
    player = member()
    player.tap("setup")
    assert EN["talk.left"] in player.write("cancel")
    assert EN["talk.left"] not in player.write("cancel")
    assert player.envelope.flow == "menu"


def test_the_menu_is_one_word_away():
    player = asked_for_the_secret()
    assert "What would you like to do?" in player.write("menu")


def test_a_person_is_one_word_away_everywhere():
    for player in (Player(), member(), asked_for_the_secret()):
        read = player.write("person")
        assert "+1 555 0100" in read
        assert "*7*" in read
        assert effects_of(player, OpenCase) == [OpenCase("asked")]


def test_the_bot_answers_to_its_name():
    assert EN["handoff.bot_is_here"] in member().write("bot")


def test_remove_asks_before_it_removes_and_means_nothing_to_a_stranger():
    assert "Shall I remove your e-mail" in with_mailbox().write("remove")
    assert EN["mailbox.none_yet"] in member().write("remove")
    stranger = Player()
    stranger.write("hi")
    assert stranger.write("remove") == EN["welcome.door"]


@pytest.mark.parametrize("words", ["The link did not arrive", "não chegou o link", "¿Dónde está el enlace?"])
def test_who_says_that_the_link_is_missing_gets_another_one(words):
    assert "/s/link-2" in asked_for_the_secret().write(words)
    assert "/s/link" not in member().write(words)


@pytest.mark.parametrize(
    "words", ["Lost the link, my password is {}", "o link não abre, senha: {}", "perdí el enlace, clave {}"]
)
def test_a_password_beside_words_about_the_link_is_still_told(words):
    read = asked_for_the_secret().write(words.format("girafa-azul-7"))
    assert EN["talk.leaked"].partition("\n")[0] in read


def test_a_new_link_is_one_word_away_while_a_secret_is_awaited():
    player = asked_for_the_secret()
    assert "/s/link-2" in player.write("link")
    assert EN["talk.no_link"] in member().write("link")
    stranger = Player()
    stranger.write("hi")
    assert EN["talk.no_link"] in stranger.write("link")


# --- back and corrections ---------------------------------------------------------------------------------------------


def test_back_returns_to_the_previous_question_and_keeps_the_other_answers():
    player = writing(with_mailbox())
    player.write("Hello")
    player.write("back")
    player.tap("command")
    assert player.envelope.state == compose.Collecting({"to": "bia@agency.test"}, "subject")
    player.write("Hello again")
    assert player.envelope.state.answers == {"to": "bia@agency.test", "subject": "Hello again"}


def test_back_goes_step_by_step_to_the_beginning_and_then_to_the_menu():
    player = member()
    player.found[ADDRESS] = ServerUnknown(ADDRESS)
    player.tap("setup")
    player.write(ADDRESS)
    player.write("mail.agency.test")
    assert "What is its *name*?" in player.write("back")
    assert "Which *e-mail address*" in player.write("voltar")
    assert "What would you like to do?" in player.write("volver")
    assert EN["talk.no_way_back"] in player.write("back")


def test_back_leads_from_the_language_question_to_the_menu():
    player = member()
    player.tap("language")
    read = player.write("back")
    assert EN["talk.no_way_back"] not in read
    assert "What would you like to do?" in read


def test_back_from_the_preview_of_a_correction_leads_to_the_preview():
    player = writing(with_mailbox())
    player.write("Hello")
    player.write("How are you?")
    player.tap("correct")
    player.tap("subject")
    player.write("back")
    assert "Shall I send it?" in player.tap("command")


@pytest.mark.parametrize(
    "said",
    ["the address is wrong", "o endereço está errado", "la dirección es incorrecta", "Errei o e-mail!", "wrong email"],
)
@pytest.mark.parametrize("language", LANGUAGES)
def test_an_address_that_is_called_wrong_is_asked_again_in_any_language(said, language):
    player = asked_for_the_secret(language=language)
    assert texts(language)["mailbox.address"] in player.write(said)
    player.write("bia@agency.test")
    assert subject(player.envelope)[0] == "bia@agency.test"


@pytest.mark.parametrize(
    "said", ["the server is wrong", "o servidor de e-mail está errado", "el servidor de correo es incorrecto"]
)
def test_a_server_that_is_called_wrong_is_asked_again_and_the_address_stays(said):
    player = member()
    player.found[ADDRESS] = ServerFound(ELSEWHERE, confirm=True)
    player.tap("setup")
    player.write(ADDRESS)
    assert "What is its *name*?" in player.write(said)
    assert player.envelope.state.answers == {"address": ADDRESS}


def test_a_part_of_a_mail_that_is_called_wrong_is_written_again():
    player = writing(with_mailbox())
    player.write("Hello")
    player.write("How are you?")
    assert "What is the *subject*?" in player.write("the subject is wrong")
    assert set(player.envelope.state.answers) == {"to", "text"}


# --- what is not understood -------------------------------------------------------------------------------------------


def test_the_reason_is_said_and_the_question_asked_again():
    player = member()
    player.tap("setup")
    read = player.write("ana")
    assert EN["mailbox.no_address"] in read
    assert read.endswith(EN["mailbox.address"])


def test_three_misses_offer_a_person_and_an_understood_answer_forgets_them():
    player = member()
    player.tap("setup")
    assert EN["talk.offer_person"] not in player.write("one")
    assert EN["talk.offer_person"] not in player.write("two")
    assert EN["talk.offer_person"] in player.write("three")
    assert labels(player) == ["Talk to a person"]
    assert "+1 555 0100" in player.tap("go:person")
    player.write(ADDRESS)
    assert player.envelope.misses == 0


def test_a_person_is_not_offered_twice_in_one_message():
    player = asked_for_the_secret()
    for _ in range(3):
        player.write("I do not know what to do")
    assert EN["talk.offer_person"] in player.last.body
    assert labels(player).count("Talk to a person") == 1


@pytest.mark.parametrize(
    "kind", ["voice", "image", "video", "document", "sticker", "contact", "location", "other", "poll"]
)
def test_everything_that_is_not_text_has_an_answer_and_the_question_again(kind):
    read = member().share(kind)
    assert EN.get(f"talk.shared.{kind}", EN["talk.shared.other"]) in read
    assert "What would you like to do?" in read


def test_words_while_the_world_is_busy_are_answered_and_are_no_misses():
    player = member()
    player.hold = True
    player.tap("setup")
    player.write(ADDRESS)
    assert [player.write("hm") for _ in range(4)] == [EN["mailbox.busy"]] * 4
    assert player.envelope.misses == 0
    assert "Now the password" in player.release()


# --- silence ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("stop", "start"), [("stop", "start"), ("parar mensagens", "ativar"), ("baja", "alta")])
def test_after_stop_nothing_is_done_until_start_which_goes_on_where_we_were(stop, start):
    player = asked_for_the_secret()
    assert player.write(stop) == EN["talk.stopped"]
    state = player.envelope.state
    for said in ("hello", "menu", "cancel", "1"):
        assert player.write(said) == EN["talk.silent"]
    assert player.tap("forgotten") == EN["talk.silent"]
    assert player.share("voice") == EN["talk.silent"]
    assert player.envelope.state == state
    read = player.write(start)
    assert EN["talk.started"] in read
    assert "Now the password" in read
    assert effects_of(player, SetMessages) == [SetMessages(wanted=False), SetMessages(wanted=True)]


@pytest.mark.parametrize(
    "news", [MailAccepted("m", "bia@agency.test"), MailUnknown("m"), Lay(), TurnFailed(), TestSlow()]
)
def test_nothing_is_said_unasked_after_stop(news):
    player = with_mailbox()
    player.write("stop")
    assert player.happens(news) == ""


def test_an_answer_after_stop_is_saved_but_not_said():
    player = asked_for_the_secret()
    player.hold = True
    player.fill_page()
    player.write("stop")
    assert player.release() == ""
    assert player.known.mailbox == Mailbox(ANA, "works")
    assert EN["card.mail_password"] in player.write("start")


def test_a_secret_after_stop_is_erased_everywhere():
    player = asked_for_the_secret()
    player.write("stop")
    assert player.write("Girafa22") == EN["talk.silent"]
    assert erased(player) == ["secret-2"]
    assert len(effects_of(player, EraseAtProvider)) == 1 + 1  # "stop" was typed while a secret was awaited, too
    other = member()
    other.write("stop")
    assert other.write("Girafa#22") == EN["talk.silent"]
    assert effects_of(other, EraseAtProvider)


# --- language ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("word", "language"), [("english", "en"), ("Português", "pt"), ("espanhol", "es")])
def test_the_language_changes_in_the_middle_and_the_question_is_asked_again_in_it(word, language):
    player = asked_for_the_secret(language="en" if language != "en" else "pt")
    state = player.envelope.state
    read = player.write(word)
    assert texts(language)["menu.language_set"] in read
    assert texts(language)["mailbox.button.without"] in labels(player)
    assert player.envelope.state == state
    assert effects_of(player, SetLanguage) == [SetLanguage(language)]


def test_the_language_can_be_chosen_in_the_menu_in_two_ways():
    player = member()
    player.tap("language")
    assert texts("es")["menu.language_set"] in player.write("Español")
    player.write("Idioma")
    read = player.write("inglês")
    assert EN["menu.language_set"] in read
    assert "What would you like to do?" in read


# --- joining and leaving an agency ------------------------------------------------------------------------------------


def test_somebody_who_became_a_member_elsewhere_is_not_asked_for_a_code_again():
    player = Player()
    player.write("hi")
    player.known = replace(player.known, agency="Agency", role="member")
    assert "What would you like to do?" in player.write("hello")


def test_somebody_who_is_no_member_any_more_is_asked_for_a_code():
    player = asked_for_the_secret()
    player.known = replace(player.known, agency="", role="")
    read = player.write("my password")
    assert EN["welcome.door"] in read
    assert erased(player) == ["secret-2"]
    assert not effects_of(player, TestLogin)


def test_a_stranger_can_ask_for_erasure_but_starts_no_other_flow():
    player = Player()
    player.write("hi")
    assert EN["welcome.door"] in player._message("x", "menu.choosing:go:mailbox.manage", "text")
    assert "Shall I erase all of it?" in player.write("erase")
    assert EN["privacy.kept"] in player.tap("keep")
    assert player.envelope.flow == "welcome"


# --- options that lead to another flow --------------------------------------------------------------------------------


def test_news_offers_what_repairs_it_and_the_offer_works_even_when_it_is_old():
    player = writing(with_mailbox())
    player.happens(MailRefused("m", "sender_not_allowed", "user", retry=False))
    assert labels(player) == ["My e-mail settings"]
    player.write("A subject")
    assert "What would you like to change?" in player.tap("go:mailbox.manage")


def test_an_offer_is_taken_by_its_number_too():
    player = writing(with_mailbox())
    player.happens(MailRefused("m", "sender_not_allowed", "user", retry=False))
    assert "What would you like to change?" in player.write("1")


def test_an_option_that_leads_nowhere_is_closed():
    assert EN["talk.closed"] in member()._message("x", "menu.choosing:go:nowhere", "text")


def test_writing_without_a_mailbox_begins_its_set_up():
    player = member()
    read = player._message("x", "menu.choosing:go:compose", "text")
    assert EN["compose.no_mailbox"] in read
    assert "Which *e-mail address*" in read


# --- answers and news -------------------------------------------------------------------------------------------------


def test_an_answer_to_a_question_that_was_left_is_dropped():
    player = member()
    player.hold = True
    player.tap("setup")
    player.write(ADDRESS)
    player.write("cancel")
    assert player.release() == ""
    assert player.envelope.flow == "menu"


def test_an_answer_to_an_earlier_question_of_the_same_kind_is_dropped():
    player = member()
    player.hold = True
    player.tap("setup")
    player.write(ADDRESS)
    player.write("back")
    player.write("bia@agency.test")
    assert [effect for _, effect in player.waiting] == [Discover(ADDRESS), Discover("bia@agency.test")]
    player.release()
    assert subject(player.envelope)[0] == "bia@agency.test"


def test_a_digression_does_not_make_an_answer_late():
    player = asked_for_the_secret()
    player.hold = True
    player.fill_page()
    player.write("português")
    player.write("ajuda")
    assert "Funciona!" in player.release()


NEWS = [
    MailAccepted("m", "bia@agency.test"),
    MailRefused("m", "greylisted", "wait", retry=True),
    MailUnknown("m"),
    TestSlow(),
    Lay(),
    TurnFailed(),
]


@pytest.mark.parametrize("news", NEWS)
@pytest.mark.parametrize("somewhere", [member, with_mailbox, asked_for_the_secret, lambda: writing(with_mailbox())])
def test_news_never_moves_a_flow(news, somewhere):
    player = somewhere()
    before = player.envelope
    player.happens(news)
    after = player.envelope
    assert replace(after, asked=None) == replace(before, asked=None)


def test_news_is_said_and_the_pending_question_asked_again():
    player = asked_for_the_secret()
    read = player.happens(MailAccepted("m", "bia@agency.test"))
    assert "*accepted* your mail to bia@agency.test" in read
    assert "Now the password" in read
    assert "may or may not" in player.happens(MailUnknown("m"))
    assert EN["cause.greylisted"] in player.happens(MailRefused("m", "greylisted", "wait", retry=True))
    assert EN["news.turn_failed"] in player.happens(TurnFailed())


def test_a_set_up_left_lying_is_mentioned_but_a_resting_conversation_is_not():
    player = asked_for_the_secret()
    assert worth_a_nudge(player.envelope)
    assert EN["news.left_lying"] in player.happens(Lay())
    resting = member()
    assert not worth_a_nudge(resting.envelope)
    assert resting.happens(Lay()) == ""
    assert not worth_a_nudge(Envelope())
    player.write("stop")
    assert not worth_a_nudge(player.envelope)


def test_a_slow_test_is_announced_only_while_it_runs():
    player = asked_for_the_secret()
    assert player.happens(TestSlow()) == ""
    player.hold = True
    player.fill_page()
    assert player.happens(TestSlow()) == EN["news.test_slow"]


def test_an_answer_that_nobody_waits_for_changes_nothing():
    player = member()
    before = player.envelope
    assert player.happens(LoginWorked(ANA)) == ""
    assert player.envelope == before


def test_news_to_somebody_who_never_wrote_is_said_from_the_beginning():
    player = Player(known=facts(mailbox=WORKS))
    assert "What would you like to do?" in player.happens(MailAccepted("m", "bia@agency.test"))


# --- secrets ----------------------------------------------------------------------------------------------------------


def test_what_is_typed_while_a_secret_is_awaited_is_judged_in_memory():
    player = asked_for_the_secret(mailbox=None)
    envelope, google = player.envelope, facts(provider=GMAIL)

    def meant(text):
        return understand(envelope, text, None, "text", google)

    assert awaits_secret(envelope)
    assert meant("cancel") == Said("cancel")
    assert meant("1") == Chose("forgotten")
    assert meant("7") == Said("7")  # a number that stands at no choice
    assert meant("123") == Secretive(taken=False)
    assert meant("new link") == Said("new link")  # a command
    assert meant("abcd efgh ijkl mnop") == Secretive(taken=True)
    assert meant("where do I find it?") == Said("where do I find it?")
    assert meant("what does this mean") == Said("what does this mean")
    assert meant("Girafa#22") == Secretive(taken=False)
    assert meant("my secret") == Secretive(taken=False)
    assert meant("my password is Girafa#22") == SecretLeaked()
    assert meant("  ") == Said("  ")
    assert meant("x" * 300) == Said("x" * 300)
    assert understand(envelope, "abcd efgh ijkl mnop", None, "text", facts()) == Secretive(taken=False)


def test_everything_typed_while_a_secret_is_awaited_is_erased_at_the_provider():
    for said in ("abcd efgh ijkl mnop", "Girafa#22", "where do I find it?", "help", "my password is Girafa#22"):
        player = asked_for_the_secret(mailbox=None)
        player.providers["agency.test"] = GMAIL
        player.write(said)
        assert len(effects_of(player, EraseAtProvider)) == 1


def test_a_secret_in_the_exact_shape_is_tested_at_once_and_another_is_asked_about():
    player = asked_for_the_secret()
    player.providers["agency.test"] = GMAIL
    read = player.write("abcd efgh ijkl mnop")
    assert EN["mailbox.typed_here"] in read
    assert "It works!" in read
    other = asked_for_the_secret()
    assert other.write("Girafa#22") == EN["mailbox.was_that_it"]
    assert not effects_of(other, TestLogin)
    assert "It works!" in other.tap("yes")


def test_a_suspected_secret_that_was_none_is_erased_and_the_question_asked_again():
    player = asked_for_the_secret()
    player.write("girafa")
    assert "Now the password" in player.tap("no")
    assert erased(player) == ["secret-2"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("oi, tudo bem?", "guide.greeting"),
        ("Hola", "guide.greeting"),
        ("thanks 😊", "guide.thanks"),
        ("obrigada!", "guide.thanks"),
        ("ok", "mailbox.nothing_yet"),
        ("pronto", "mailbox.nothing_yet"),
    ],
)
def test_courtesy_and_a_short_word_are_not_taken_for_the_password(words, said):
    player = asked_for_the_secret()
    read = player.write(words)
    assert read.startswith(EN[said])
    assert "Now the password" in read


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("não lembro da senha", "mailbox.forgotten"),
        ("no sé", "mailbox.forgotten"),
        ("Are you a robot?", "talk.help"),
        ("estoy ocupada, sigo luego", "talk.later"),
    ],
)
def test_what_people_say_besides_the_password_is_understood(words, said):
    read = asked_for_the_secret().write(words)
    assert read.startswith(EN[said].format(operator=HOUSE.operator).partition("\n")[0])


@pytest.mark.parametrize("signup", ["ask", "closed"])
@pytest.mark.parametrize("taps", [(), ("invitation",)])
def test_who_has_no_code_hears_where_it_comes_from_and_what_else_there_is(taps, signup):
    player = Player(known=facts(agency="", role="", house=replace(HOUSE, signup=signup)))
    player.write("hi")
    for value in taps:
        player.tap(value)
    read = player.write("não tenho código")
    assert read.startswith(EN[f"welcome.without_code.{signup}"])
    assert ("Ask for access" in labels(player)) == (signup == "ask")


def test_who_did_not_get_the_digits_gives_the_address_once_more():
    player = Player()
    player.write("hi")
    for value in ("invitation", "moved"):
        player.tap(value)
    player.write(ADDRESS)
    player.happens(ProofAsked(too_many=False))
    assert player.write("the code did not arrive") == EN["welcome.moving"]


def test_who_puts_it_off_is_asked_again_when_they_want():
    player = asked_for_the_secret()
    assert player.write("later") == EN["talk.later"]
    assert "Now the password" in player.write("again")


def test_who_does_not_know_the_server_says_so_by_a_tap_or_in_their_own_words():
    def asked_for_the_host():
        player = member()
        player.found[ADDRESS] = ServerUnknown(ADDRESS)
        player.tap("setup")
        player.write(ADDRESS)
        return player

    tapped = asked_for_the_host().tap("unknown")
    assert tapped.startswith(EN["mailbox.who_is_paid"].partition("{")[0])
    assert asked_for_the_host().write("não sei, desculpa") == tapped


def test_a_greeting_is_returned_and_no_mistake_whatever_was_asked():
    player = member()
    player.tap("setup")
    for words in ("hola", "bom dia!", "hi there", "buenas tardes"):
        assert player.write(words) == "\n\n".join((EN["guide.greeting"], EN["mailbox.address"]))
    assert player.envelope.misses == 0


def test_a_password_that_nobody_asked_for_is_warned_about_and_not_kept():
    player = member()
    read = player.write("Girafa#22")
    assert EN["talk.leaked"] in read
    assert "What would you like to do?" in read
    assert effects_of(player, EraseAtProvider)
    assert "Girafa" not in player.saved


def test_any_text_may_be_the_text_of_a_mail():
    player = writing(with_mailbox())
    assert private(player.envelope)
    player.write("Girafa#22")
    assert player.envelope.state.answers["subject"] == "Girafa#22"
    player.write("Hello")
    assert not private(player.envelope)


@pytest.mark.parametrize("event", [SecretTyped("s9"), SecretSuspected("s9")])
def test_a_secret_that_comes_where_none_is_awaited_is_erased(event):
    turn = converse(member().envelope, event, facts())
    assert turn.effects == (EraseSecret("s9"), EraseAtProvider(), Say("talk.leaked"))


def test_a_wrong_password_ends_in_a_new_link_and_the_third_one_offers_a_person():
    player = asked_for_the_secret()
    wrong = LoginFailed("wrong_credentials", "user", retry=False)
    player.logins = [wrong, wrong, wrong]
    reads = [player.fill_page() for _ in range(3)]
    assert all(EN["cause.wrong_credentials"] in read for read in reads)
    assert [EN["talk.offer_person"] in read for read in reads] == [False, False, True]
    assert erased(player) == ["secret-2", "secret-4", "secret-6"]
    assert "It works!" in player.fill_page()


def test_too_many_links_end_in_the_menu():
    player = member()
    turn = converse(
        replace(player.envelope, flow="mailbox", state=mailbox.AwaitingLink(ANA)), LinkRefused(), player.facts
    )
    assert turn.effects == (Say("mailbox.too_many_links"),)
    assert turn.envelope.flow == "menu"


# --- one message per turn ---------------------------------------------------------------------------------------------


def test_all_that_a_turn_says_becomes_one_message_with_the_question_behind_it():
    turn = Turn(member().envelope, (Say("talk.left"), EraseAtProvider(), Say("talk.closed")), ask=True)
    closed = close(turn, facts())
    speak, erase = closed.effects
    assert [part.name for part in speak.parts] == ["talk.left", "talk.closed", "menu.without_mailbox"]
    assert erase == EraseAtProvider()
    assert closed.envelope.asked == Asked(
        "menu.choosing",
        (
            ("setup", "Connect my e-mail"),
            ("roles", "My agencies"),
            ("language", "Language"),
            ("privacy", "My data"),
            ("person", "Talk to a person"),
        ),
    )


def test_records_are_told_apart_from_promises():
    turn = Turn(Envelope(), (OpenCase("asked"), Say("talk.left"), EraseAtProvider()))
    assert records(turn) == (OpenCase("asked"),)
    assert close(turn, facts()).effects == (Speak((Say("talk.left"),)), EraseAtProvider())
    assert close(Turn(Envelope()), facts()).effects == ()


def test_offers_stand_behind_the_options_and_never_make_them_too_many():
    offers = tuple(Option(f"go:n{number}", words=f"Offer {number}") for number in range(12))
    speak = close(Turn(member().envelope, ask=True, offer=offers), facts()).effects[0]
    assert len(speak.options) == MAX_OPTIONS
    assert [option.value for option in speak.options] == [f"go:n{number}" for number in range(10)]
    few = close(Turn(member().envelope, ask=True, offer=offers[:2]), facts()).effects[0]
    assert [option.value for option in few.options] == [
        "setup", "roles", "language", "privacy", "person", "go:n0", "go:n1",
    ]  # fmt: skip


def test_what_is_too_long_for_one_message_with_buttons_becomes_two():
    player = member(agency="A" * 400, house=replace(HOUSE, operator="O" * 300))
    menu_alone = player.write("menu")
    before = len(player.messages)
    player.write("help")
    told, asked = player.messages[before:]
    assert told.body.startswith("I'm the automatic assistant")
    assert told.buttons == ()
    assert asked.body == menu_alone
    assert asked.buttons


def test_the_longest_mail_is_shown_in_one_message_even_behind_the_help():
    player = with_mailbox(name="N" * 100)
    player.tap("write")
    player.write(" ".join(f"{'r' * 30}{number}@agency.test" for number in range(5)))
    player.write("s" * 150)
    player.write("t\n" * 2_000)
    before = len(player.messages)
    player.write("help")
    assert len(player.messages) == before + 1
    assert len(player.last.body) <= 1024
    assert [button.label for button in player.last.buttons] == ["Send", "Correct", "Don't send"]


def test_flows_that_start_one_another_in_a_circle_end_in_the_menu(monkeypatch):
    circle = replace(FLOWS["privacy"], name="circle", start=lambda _entry, _facts: (Done(), [Start("circle")]))
    monkeypatch.setitem(FLOWS, "circle", circle)
    assert "What would you like to do?" in member()._message("x", "menu.choosing:go:circle", "text")


# --- odds and ends ----------------------------------------------------------------------------------------------------


def test_a_conversation_that_starts_again_is_no_stranger_and_keeps_its_silence_and_its_tickets():
    again = restarted(Envelope(silent=True, ticket=4))
    assert again == Envelope(greeted=True, silent=True, ticket=5, lost=True)


def test_a_conversation_that_cannot_be_read_any_more_begins_anew_with_an_apology():
    known = facts()
    turn = converse(restarted(Envelope()), Said("Girafa, I think"), known)
    speak = close(turn, known).effects[0]
    assert [part.name for part in speak.parts] == ["talk.restarted", "menu.without_mailbox"]
    assert not turn.envelope.lost
    obeyed = close(converse(restarted(Envelope()), Said("stop"), known), known)
    assert [part.name for part in obeyed.effects[0].parts] == ["talk.restarted", "talk.stopped"]
    silent = converse(restarted(Envelope(silent=True)), Said("hello"), known)
    assert silent.effects == (Say("talk.silent"),)


def test_nobody_has_a_subject_before_the_first_message():
    assert subject(Envelope())[0] == ""
    assert not private(Envelope())


def test_a_tap_and_a_picture_are_read_before_any_words():
    envelope = Envelope(asked=Asked("menu.choosing", (("setup", "Connect my e-mail"),)))
    assert understand(envelope, "x", "menu.choosing:setup", "text", facts()) == Chose("setup")
    assert understand(envelope, "x", "menu.choosing:write", "text", facts()) == Tapped("menu.choosing:write")
    assert understand(envelope, "x", "mailbox.stuck:setup", "text", facts()) == Tapped("mailbox.stuck:setup")
    assert understand(Envelope(), "x", "menu.choosing:setup", "text", facts()) == Tapped("menu.choosing:setup")
    assert understand(envelope, "1", None, "voice", facts()) == Shared("voice")


@pytest.mark.parametrize(
    ("address", "external_id", "language"),
    [
        ("+5511987654321", None, "pt"),
        ("+351912345678", None, "pt"),
        ("+34612345678", None, "es"),
        ("+5215512345678", None, "es"),
        ("+595981234567", None, "es"),
        ("+14155550100", None, "en"),
        ("+4915112345678", None, "en"),
        (None, "BR.12345", "pt"),
        (None, "mx.12345", "es"),
        (None, "US.12345", "en"),
        (None, None, "en"),
    ],
)
def test_the_first_language_is_that_of_the_phone_s_country(address, external_id, language):
    assert guess_language(address, external_id) == language


def test_every_flow_is_known_by_its_own_name_and_starts_in_one_of_its_states():
    assert {name: flow.name for name, flow in FLOWS.items()} == {name: name for name in FLOWS}
    for flow in FLOWS.values():
        state, _ = flow.start("", facts(mailbox=WORKS))
        assert isinstance(state, (*flow.states, Done))
        assert {*flow.world, *flow.back} <= set(flow.states)
    assert (menu.FLOW.nudge, welcome.FLOW.nudge, mailbox.FLOW.nudge) == (False, False, True)


def test_a_mistyped_address_is_no_leaked_password_while_an_address_is_asked_for():
    player = member()
    player.tap("setup")
    assert EN["mailbox.no_address"] in player.write("ana1#X@padaria")
    assert EN["talk.leaked"] in player.write("Girafa#2291x")


def test_two_messages_that_wait_become_one_but_each_piece_of_news_stays():
    same, news = Say("talk.not_understood"), Say("news.mail_accepted", {"to": "bia@client.test"})
    question = Say("menu.which_language")
    waiting, later = Speak((same, news, question), "menu.language"), Speak((same, news, question), "menu.language")
    assert merged(waiting, later, "en").parts == (same, news, news, question)


# --- errors that people paste -----------------------------------------------------------------------------------------

REFUSED = Pasted("wrong_credentials", "user", retry=False)
NO_HOST = Pasted("dns_host_not_found", "user", retry=False)
TENANT = Pasted("smtp_auth_disabled_tenant_or_mailbox", "agency_admin", retry=False)


def pasting(player, pasted):
    """The person pastes an error text that means this."""
    player.known = replace(player.known, pasted=pasted)
    said = player.write("535 5.7.8 Error: authentication failed")
    player.known = replace(player.known, pasted=None)
    return said


def _offered(player):
    return [button.id.partition(":")[2] for button in player.last.buttons]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_pasted_error_is_explained_and_the_question_is_asked_again(language):
    player = with_mailbox(language=language)
    said = pasting(player, REFUSED)
    assert said.startswith(texts(language)["cause.wrong_credentials"])
    assert "ana@agency.test" in said
    assert "go:mailbox.password" in _offered(player)


def test_a_pasted_error_while_the_server_is_asked_for_is_no_server_and_no_miss():
    player = member()
    player.found = {ADDRESS: ServerUnknown(ADDRESS)}
    player.tap("setup")
    player.write(ADDRESS)
    pasting(player, NO_HOST)
    assert player.envelope.state == mailbox.Collecting({"address": ADDRESS}, "host")
    assert player.envelope.misses == 0


def test_the_button_under_a_pasted_error_leads_to_exactly_the_answer_that_is_wrong():
    player = asked_for_the_secret()
    pasting(player, NO_HOST)
    player.tap("fix:host")
    assert player.envelope.state == mailbox.Collecting({"address": ADDRESS}, "host")


def test_an_old_button_to_an_answer_that_is_no_longer_there_asks_the_current_question():
    player = asked_for_the_secret()
    pasting(player, NO_HOST)
    state = player.envelope.state
    old = replace(player.envelope, flow="menu", state=menu.Choosing())
    turn = converse(old, Chose("fix:host"), facts())
    assert (turn.envelope.state, turn.ask) == (menu.Choosing(), True)
    assert state != menu.Choosing()


def test_an_error_that_only_an_administrator_mends_comes_with_words_to_forward():
    player = with_mailbox()
    said = pasting(player, TENANT)
    assert "Set-CASMailbox" in said
    assert ADDRESS in said
    assert "mailbox" in _offered(player)  # the menu leads there already


def test_somebody_without_an_agency_has_an_error_explained_and_is_offered_a_person():
    player = Player()
    player.write("hi")
    said = pasting(player, TENANT)
    assert texts("en")["cause.smtp_auth_disabled_tenant_or_mailbox"] in said
    assert "Set-CASMailbox" not in said
    assert "person" in _offered(player)


def test_a_member_without_a_mailbox_is_led_to_the_set_up():
    player = member()
    pasting(player, REFUSED)
    assert "setup" in _offered(player)
    player = member()
    player.tap("setup")
    pasting(player, REFUSED)
    assert _offered(player) == []


def test_an_error_in_the_text_of_a_mail_is_the_text_of_a_mail():
    player = with_mailbox()
    player.tap("write")
    player.write("bruno@agency.test")
    player.write("An error")
    said = pasting(player, REFUSED)
    assert "535 5.7.8" in said


def test_a_pasted_error_while_a_secret_is_awaited_is_erased_and_explained():
    player = asked_for_the_secret()
    said = pasting(player, REFUSED)
    assert texts("en")["cause.wrong_credentials"] in said
    assert any(isinstance(effect, EraseAtProvider) for effect in player.effects)
    assert isinstance(player.envelope.state, mailbox.AwaitingSecret)


# --- news of a mailbox that waits, and for admins ---------------------------------------------------------------------


def stuck(cause="smtp_auth_disabled_tenant_or_mailbox", who="agency_admin"):
    player = asked_for_the_secret()
    player.logins = [LoginFailed(cause, who, retry=False)]
    player.fill_page()
    return player


def test_a_mailbox_that_works_at_last_is_told_and_what_to_do_about_it_is_no_question_any_more():
    player = stuck()
    player.known = replace(player.known, mailbox=WORKS)
    said = player.happens(MailboxWorks(ADDRESS))
    assert said.startswith("✓")
    assert player.envelope.flow == "menu"
    assert "write" in _offered(player)


def test_news_of_another_address_moves_nothing():
    player = stuck()
    before = player.envelope.state
    player.happens(MailboxWorks("bia@agency.test"))
    assert player.envelope.state == before


def test_another_cause_is_told_with_the_question_that_was_open():
    player = stuck()
    said = player.happens(MailboxWaits(ADDRESS, "greylisted"))
    assert texts("en")["cause.greylisted"] in said
    assert isinstance(player.envelope.state, mailbox.Stuck)


def test_a_mailbox_that_will_not_work_leads_to_a_new_password():
    player = stuck()
    said = player.happens(MailboxBroke(ADDRESS, "wrong_credentials"))
    assert texts("en")["cause.wrong_credentials"] in said
    assert player.envelope.flow == "menu"
    assert "go:mailbox.password" in _offered(player)


def test_three_days_in_vain_are_told_as_that():
    said = stuck().happens(MailboxBroke(ADDRESS))
    assert "three days" in said


def test_an_admin_reads_whom_it_is_about_and_the_words_to_forward_and_can_say_that_it_is_done():
    player = member(role="admin")
    said = player.happens(AdminNeeded("Bia", "bia@agency.test, caio@agency.test", TENANT.cause))
    assert "Bia" in said
    assert "bia@agency.test, caio@agency.test: Microsoft 365" in said
    assert "$people = 'bia@agency.test', 'caio@agency.test'" in said
    assert player.tap("go:menu.switched_on").startswith(texts("en")["menu.retrying"].format(first=15, last=60))
    assert RetryWaiting((15, 60)) in player.effects


@pytest.mark.parametrize("language", LANGUAGES)
def test_lines_for_many_are_told_in_as_many_messages_as_it_takes_and_none_is_cut(language):
    player = member(role="admin", language=language)
    many = [f"somebody.with.a.name.{number}@agency-example.test" for number in range(20)]
    said = player.happens(AdminNeeded("", ", ".join([*many, "+3"]), TENANT.cause))
    assert all(f"'{one}'" in said for one in many)
    assert "+3" not in said
    assert max(len(message.body) for message in player.messages) <= 1_500


def test_an_admin_is_needed_for_something_without_words_to_forward():
    said = member(role="admin").happens(AdminNeeded("Bia", "bia@agency.test", "connection_dropped"))
    assert "bia@agency.test" in said


@pytest.mark.parametrize(("asks", "words"), [(False, "For your information"), (True, "asks you")])
def test_an_admin_reads_who_has_another_server(asks, words):
    said = member(role="admin").happens(MemberDiffers("Bia", "bia@agency.test", "smtp.hoster.test", asks))
    assert words in said
    assert "smtp.hoster.test" in said


def test_news_to_a_conversation_that_could_not_be_read_comes_after_the_apology():
    lost = replace(Player().envelope, greeted=True, lost=True)
    turn = converse(lost, MailUnknown("m1"), facts(mailbox=WORKS))
    assert [said.name for said in turn.effects] == ["talk.restarted", "news.mail_unknown"]
    assert turn.ask


def test_an_event_about_an_account_decides_what_the_conversation_is_about():
    assert subject(Envelope(), ServerFound(ELSEWHERE)) == (ADDRESS, "smtp.hoster.test")
    assert subject(Envelope(), Judged(ANA)) == (ADDRESS, "mail.agency.test")


def test_a_mail_that_has_to_wait_is_told_once_with_its_reason():
    said = with_mailbox().happens(MailWaits("m1", "daily_quota_exceeded"))
    assert texts("en")["cause.daily_quota_exceeded"] in said


def test_an_admin_hears_of_a_mailbox_that_waits_for_them_now():
    player = stuck("greylisted", "wait")
    player.happens(MailboxWaits(ADDRESS, TENANT.cause, "agency_admin"))
    assert TellAdmins(AdminNeeded("Ana", ADDRESS, TENANT.cause)) in player.effects


def test_an_error_that_a_stranger_begins_with_is_explained_after_the_greeting():
    player = Player()
    said = pasting(player, REFUSED)
    assert said.index(HOUSE.operator) < said.index(texts("en")["cause.wrong_credentials"])


def test_a_mail_without_its_copy_went_out_all_the_same():
    said = with_mailbox().happens(CopyMissing("m1", "bia@agency.test", "no_folder"))
    assert "went out" in said
    assert texts("en")["copy.no_folder"] in said


# --- files ------------------------------------------------------------------------------------------------------------


def test_a_file_at_rest_is_offered_as_a_mail():
    player = with_mailbox()
    said = player.happens(FileShared("f1", "voucher.pdf"))
    assert "voucher.pdf" in said
    player.tap("yes")
    player.write("bia@agency.test")
    assert player.envelope.state.answers["files"] == "f1 voucher.pdf"


def test_files_are_of_use_at_rest_and_in_a_mail_to_somebody_who_can_send():
    can = facts(mailbox=WORKS)
    at_rest = with_mailbox().envelope
    assert takes_files(at_rest, can)
    assert not takes_files(at_rest, facts(mailbox=Mailbox(ANA, "off")))
    assert not takes_files(at_rest, facts())
    assert not takes_files(asked_for_the_secret().envelope, can)
    assert not takes_files(replace(at_rest, silent=True), can)


@pytest.mark.parametrize("reason", ["type", "size", "gone"])
def test_a_file_that_could_not_be_taken_is_told_with_its_name(reason):
    assert "voucher.zip" in with_mailbox().happens(FileLost("voucher.zip", reason))


def test_a_number_that_stands_at_no_choice_is_no_password():
    player = asked_for_the_secret(mailbox=None)
    answer = player.write("7")
    assert isinstance(player.envelope.state, mailbox.AwaitingSecret)
    assert answer.startswith(texts("en")["talk.not_understood"])


def test_a_picture_in_an_open_case_is_for_whoever_answers_it():
    player = Player(known=facts(case=101, house=replace(HOUSE, desk=True)))
    player.write("hello")
    assert "whoever answers your case 101 sees it" in player.share("image")
    assert EN["talk.shared.location"] in player.share("location")


def test_a_picture_where_a_password_is_awaited_is_for_nobody():
    player = asked_for_the_secret(mailbox=None, case=101, house=replace(HOUSE, desk=True))
    assert EN["talk.shared.image"] in player.share("image")
