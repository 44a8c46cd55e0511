"""What people type: commands, choices, addresses, servers, codes, and what may be a password."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.reading import (
    CODE_ALPHABET,
    COMMANDS,
    SHAPES,
    address,
    choice,
    command,
    has_any_shape,
    has_ordinary_words,
    has_shape,
    host,
    invitation_code,
    looks_like_a_leak,
    looks_like_a_sentence,
    plain,
    six_digits,
    written,
    wrong_field,
)
from flows.speech import texts
from flows.words import LANGUAGES

LONG = 10_000

# --- commands ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("stop", "stop"),
        ("STOP", "stop"),
        (" Parar  mensagens. ", "stop"),
        ("¡Baja!", "stop"),
        ("parar", "leave"),
        ("cancel", "leave"),
        ("Salir", "leave"),
        ("atras", "back"),
        ("Atrás!", "back"),
        ("?", "help"),
        ("??", "help"),
        ("¿ayuda?", "help"),
        ("*menu*", "menu"),
        ("“pessoa”", "person"),
        ("Robô", "bot"),
        ("espanol", "spanish"),
        ("erase", "erase"),
    ],
)
def test_a_command_is_a_whole_message_whatever_its_case_accents_and_punctuation(text, meant):
    assert command(text) == meant


@pytest.mark.parametrize(
    "text", ["please stop it", "how do I cancel?", "back to work", "", "!", "👍", "stop " * 2_000, "x" * LONG]
)
def test_a_sentence_with_a_command_word_in_it_is_no_command(text):
    assert command(text) is None


def test_no_word_ever_means_two_commands():
    meanings = {}
    for name, table in COMMANDS.items():
        assert set(table) == set(LANGUAGES)
        for word in {plain(word) for words in table.values() for word in words}:
            meanings.setdefault(word, set()).add(name)
    assert {word: names for word, names in meanings.items() if len(names) > 1} == {}


# Where a button carries a command's word, it stands for the same thing.
SAME_MEANING = {"mailbox.button.remove": "remove", "menu.button.privacy": "data"} | {
    f"{flow}.button.new_link": "link" for flow in ("mailbox", "privacy")
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_button_label_equals_a_command_with_another_meaning(language):
    labels = {
        name: text for name, text in texts(language).items() if re.search(r"(^|\.)button\.|^privacy\.(yes|no)", name)
    }
    same = {name: command(text) for name, text in labels.items() if command(text)}
    assert {name: meant for name, meant in same.items() if SAME_MEANING.get(name) != meant} == {}


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_command_is_taken_for_a_misspelt_button(language):
    labels = [
        (name, text) for name, text in texts(language).items() if ".button." in name or name.startswith("button.")
    ]
    words = [word for table in COMMANDS.values() for each in table.values() for word in each]
    taken = {word: choice(word, [one]) for word in words for one in labels if plain(word) != plain(one[1])}
    assert set(taken.values()) == {None}


# --- choices ----------------------------------------------------------------------------------------------------------

SHOWN = [("retry", "Tentar de novo"), ("server", "Mudar o servidor"), ("go:person", "Falar com alguém")]
YES_OR_NO = [("yes", "Sim, está certo"), ("no", "Não, é outro")]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2", "server"),
        (" 2. ", "server"),
        ("0", None),
        ("4", None),
        ("-1", None),
        ("٢", None),
        ("222", None),
        ("Tentar de novo", "retry"),
        ("TENTAR  DE NOVO!", "retry"),
        ("tentar de nvo", "retry"),
        ("falar con alguem", "go:person"),
        ("mudar", None),
        ("sim", None),
        ("", None),
        ("x" * LONG, None),
    ],
)
def test_a_choice_is_made_by_number_or_label_with_small_typos(text, value):
    assert choice(text, SHOWN) == value


@pytest.mark.parametrize(
    "text", ["sim", "Sí!", "YES", "ok", "y", "dale", "👍", "👍🏽", "👍️", "yes, please".replace(",", "")]
)
def test_yes_and_a_thumb_are_yes_where_yes_or_no_was_asked(text):
    assert choice(text, YES_OR_NO) == "yes"


@pytest.mark.parametrize("text", ["não", "No.", "n", "👎🏿", "no gracias"])
def test_no_is_no_where_yes_or_no_was_asked(text):
    assert choice(text, YES_OR_NO) == "no"


def test_yes_and_no_mean_the_choices_that_say_so_in_other_words():
    assert choice("sim", [("send", "Enviar"), ("correct", "Corrigir"), ("drop", "Não enviar")]) == "send"
    assert choice("no", [("send", "Enviar"), ("correct", "Corrigir"), ("drop", "Não enviar")]) == "drop"
    assert choice("👍", [("erase", "Apagar tudo"), ("keep", "Manter")]) == "erase"


def test_a_short_label_forgives_no_typo():
    assert choice("sen", [("send", "Send")]) is None


# --- corrections ------------------------------------------------------------------------------------------------------

FIELDS = [
    ("port", ("number", "port", "porta", "número", "puerto")),
    ("host", ("server", "servidor")),
    ("address", ("address", "e-mail", "endereço", "dirección", "correo")),
]


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("the address is wrong", "address"),
        ("O endereço está errado!", "address"),
        ("la dirección es incorrecta", "address"),
        ("Errei o e-mail", "address"),
        ("me equivoqué de dirección", "address"),
        ("the e-mail server is wrong", "host"),
        ("o servidor de e-mail está errado", "host"),
        ("la dirección del servidor es incorrecta", "host"),
        ("a porta do servidor está errada", "port"),
        ("the address is right", None),
        ("something is wrong", None),
        ("the support is wrong", None),
        ("the address is wrong " * 10, None),
        ("", None),
    ],
)
def test_a_short_remark_says_which_answer_is_wrong(text, field):
    assert wrong_field(text, FIELDS) == field


# --- addresses and servers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("ana@agency.test", "ana@agency.test"),
        (" Ana.Silva+x@Agency.TEST ", "Ana.Silva+x@Agency.TEST"),
        ("<ana@agency.test>", "ana@agency.test"),
        ("mailto:ana@agency.test", "ana@agency.test"),
        ("“ana@agency.test”.", "ana@agency.test"),
        ("*ana@agency.test*", "ana@agency.test"),
        ("ana@agency.test\u200b", "ana@agency.test"),
        ("\u202aana@agency.test\u202c", "ana@agency.test"),
        ("ana@agência.test", "ana@agência.test"),
        ("ana@xn--agncia-kva.test", "ana@xn--agncia-kva.test"),
        ("o'neil@agency.test", "o'neil@agency.test"),
        ("my e-mail is ana@agency.test", "ana@agency.test"),
        ("Meu e-mail é\xa0ana@agency.test", "ana@agency.test"),
        ("mi correo: ana@agency.test", "ana@agency.test"),
        ("Ana: <ana@agency.test>", "ana@agency.test"),
        (f"{'a' * 64}@agency.test", f"{'a' * 64}@agency.test"),
    ],
)
def test_an_address_is_read_from_what_people_wrap_around_it(text, read):
    assert address(text) == read


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ana",
        "ana@",
        "@agency.test",
        "ana@agency",
        "ana@@agency.test",
        "ana@bia@agency.test",
        "ana silva@agency.test",
        "ana@agency .test",
        "ana@agency.test\r\nbcc: all@agency.test",
        "ana@agency.test\nhello",
        "ana\r\n@agency.test",
        "ana@agency.test\x00x",
        '"ana silva"@agency.test',
        "ana@(agency.test)",
        "ana@http://agency.test",
        "ana.@agency.test",
        ".ana@agency.test",
        "a..na@agency.test",
        "ana@-agency.test",
        "ana@192.168.0.1",
        "ana@[192.168.0.1]",
        "ana@agency.test bia@agency.test",
        f"{'a' * 65}@agency.test",
        f"ana@{'a.' * 130}test",
        f"ana@{'a' * 64}.test",
        "👍",
        "👍👍👍",
        "x" * LONG,
        "a@" * 5_000,
    ],
)
def test_what_is_no_single_complete_address_is_none(text):
    assert address(text) is None


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("mail.agency.test", "mail.agency.test"),
        (" MAIL.Agency.Test. ", "mail.agency.test"),
        ("HTTPS://mail.agency.test/", "mail.agency.test"),
        ("smtps://mail.agency.test", "mail.agency.test"),
        ("“mail.agency.test”", "mail.agency.test"),
        ("mail.agência.test", "mail.agência.test"),
        ("mail.agency.test\u200b", "mail.agency.test"),
        ("localhost", "localhost"),
        (f"{'a' * 63}.test", f"{'a' * 63}.test"),
    ],
)
def test_a_server_is_read_from_what_people_wrap_around_it(text, read):
    assert host(text) == read


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mail",
        "mail agency test",
        "mail..test",
        "-mail.test",
        "mail-.test",
        "mail_1.test",
        "mail.test/inbox",
        "mail.test:465",
        "mail.test\r\nmail.test",
        f"{'a' * 64}.test",
        "a." * 130 + "test",
        "é" * 250,
        "👍",
        "x" * LONG,
        "é" * LONG,
        "." * LONG,
    ],
)
def test_what_cannot_be_a_server_is_none(text):
    assert host(text) is None


# --- invitation codes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "ACDE-7FGH-JKMN",
        "acde-7fgh-jkmn",
        "ACDE7FGHJKMN",
        "acde 7fgh jkmn",
        "ACDE \u2013 7FGH \u2013 JKMN",
        "ACDE\u20147FGH\u2014JKMN",
        "ACDE\u20117FGH\u2011JKMN",
        "ACDE-\n7FGH-JKMN",
        "*ACDE-7FGH-JKMN*",
        "AC\u200bDE-7FGH-JKMN",
        "Hello! I'd like to connect my e-mail to Ally. My invitation code is ACDE-7FGH-JKMN.",
        "Olá! Quero conectar o meu e-mail à Ally. O meu código de convite é ACDE\u20137FGH\u2013JKMN.",
        "¡Hola! Quiero conectar mi correo con Ally. Mi código de invitación es acde-7fgh-jkmn!",
    ],
)
def test_an_invitation_code_is_found_in_any_sentence(text):
    assert invitation_code(text) == "ACDE7FGHJKMN"


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_sentence_of_our_own_invitation_links_holds_its_code(language):
    assert invitation_code(texts(language)["invitation.text"].format(code="ACDE-7FGH-JKMN")) == "ACDE7FGHJKMN"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ACDE-7FGH",
        "ACDE-7FGH-JKMNN",
        "XACDE-7FGH-JKMN",
        "ABCD-7FGH-JKMN",
        "ACDE-EFGH-JKMN",
        "that page here",
        "ACDE" + " " * LONG + "7FGH JKMN",
        "ACDE EFGH " * 1_000,
        "x" * LONG,
    ],
)
def test_what_is_no_invitation_code_is_none(text):
    assert invitation_code(text) is None


@given(st.text(alphabet=CODE_ALPHABET, min_size=12, max_size=12).filter(lambda code: re.search(r"\d", code)))
def test_every_code_we_can_make_is_read_back(code):
    assert invitation_code(f"código: {code[:4]}-{code[4:8]}-{code[8:]}".lower()) == code


# --- passwords --------------------------------------------------------------------------------------------------------

LEAKS = [
    "Minha senha é Girafa#22",
    "minha senha: girafa",
    "senha: girafa2024",
    "Senha=Girafa22",
    "*senha*: Girafa#22",
    "a senha do meu gmail é Girafa#22",
    "minha senha é 19851203",
    "Oi, segue: e-mail ana@agency.test senha Girafa22 obrigada",
    "login ana@agency.test e a senha nova é “Girafa22”",
    "use a senha da conta da loja Girafa22x",
    "my password is Xk39!dLm",
    "password: hunter22",
    "pwd:abc123x",
    "password = hunter",
    "mi contraseña es Girafa2024",
    "la clave es: perro88",
    "contraseña 12345678",
    "abcd efgh ijkl mnop",
    "wxyz-abcd-efgh-ijkl",
    "Girafa#22",
    "Girafa2024",
    "p@ssw0rd!",
    "ana@agency.test Girafa2024",
]
INNOCENT = [
    "",
    "2",
    "no",
    "👍👍👍👍👍👍👍👍",
    "kkkkkkkkkkkk",
    "Bom dia!!!!",
    "obrigado!!!",
    "¡¡¡Muchas gracias!!!",
    "Hello there!!!",
    "esqueci minha senha",
    "Esqueci a senha, e agora?",
    "a senha mudou ontem",
    "senha errada!!!",
    "qual é a senha?",
    "senha:",
    "senha: esqueci",
    "senha: não lembro",
    "preciso trocar a senha do e-mail?",
    "a senha do office365 não funciona",
    "senha de app de 16 letras",
    "a minha senha tem 8 caracteres",
    "troquei a senha às 14h30min",
    "login/senha",
    "my password is wrong",
    "What is the password?",
    "password: please help",
    "password reset",
    "app password 2-step",
    "The password for ana@agency.test does not work",
    "535-5.7.8 Username and Password not accepted. https://support.google.com/mail/?p=BadCredentials d2e1a72fcca58",
    "olvidé mi contraseña",
    "cambié la contraseña ayer",
    "la clave es incorrecta",
    "mi clave de invitación es ACDE-7FGH-JKMN",
    "ACDE-7FGH-JKMN",
    "acde7fghJKMN",
    "what does this mean",
    "onde acho isso aqui",
    "como hago esto bien",
    "ana@agency.test",
    "ANA.SILVA2@AGENCY.TEST",
    "mail.agency.test",
    "smtp2.Agency1.test:587",
    "https://support.google.com/accounts/answer/185833",
    "Contrato2024.pdf",
    "+55 11 98765-4321",
    "+5511987654321",
    "11987654321",
    "R$1.500,00",
    "12/03/2025",
    "10:30",
    "ticket#45210",
    "#promo2024",
    "Office365",
    "Hi Office365",
]


@pytest.mark.parametrize("text", LEAKS)
def test_a_password_that_nobody_asked_for_is_recognised(text):
    assert looks_like_a_leak(text)


@pytest.mark.parametrize("text", INNOCENT)
def test_an_innocent_message_is_not_taken_for_a_password(text):
    assert not looks_like_a_leak(text)


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_that_we_say_ourselves_is_taken_for_a_password(language):
    taken = [name for name, text in texts(language).items() if looks_like_a_leak(text)]
    assert [name for name in taken if not name.startswith("page.")] == []


@pytest.mark.parametrize(
    ("text", "shape", "fits"),
    [
        ("abcd efgh ijkl mnop", "google16", True),
        (" ABCDEFGHIJKLMNOP\n", "google16", True),
        ("abcd efgh ijkl mno", "google16", False),
        ("what does this mean", "google16", True),
        ("abcd-efgh-ijkl-mnop", "apple16", True),
        ("abcd efgh ijkl mnop", "apple16", False),
        ("abcdefghijklmnop", "yahoo16", True),
        ("abcdefghijklmnop", "", False),
        ("x" * LONG, "google16", False),
    ],
)
def test_a_provider_s_secret_is_known_by_its_exact_form(text, shape, fits):
    assert has_shape(text, shape) is fits


def test_a_form_is_recognised_without_knowing_the_provider_only_when_written_in_groups():
    assert has_any_shape("abcd efgh ijkl mnop")
    assert has_any_shape("abcd-efgh-ijkl-mnop")
    assert not has_any_shape("responsabilidade")
    assert not has_any_shape("what does this mean")
    assert has_ordinary_words("What does this mean")
    assert not has_ordinary_words("abcd efgh ijkl mnop")
    assert all(re.compile(shape) for shape in SHAPES.values())


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("why?", True),
        ("I don't know", True),
        ("correct horse battery", True),
        ("abcd efgh ijkl mnop", False),
        ("two words", False),
        ("Girafa#22", False),
    ],
)
def test_language_is_told_from_a_secret_by_its_words(text, is_one):
    assert looks_like_a_sentence(text) is is_one


# --- bounds -----------------------------------------------------------------------------------------------------------


def test_a_person_s_text_loses_only_what_nothing_can_store():
    assert written("Olá\n\t👩🏽‍💻 \x00\x1b\x7f\x85\ud83d.") == "Olá\n\t👩🏽‍💻 ."


@pytest.mark.parametrize(
    "piece",
    [
        "senha ",
        "senha:",
        "senha =",
        "password" + " " * 500,
        "a1#",
        "@",
        "a@",
        "a.",
        "ACDE ",
        "abcd ",
        "-",
        " ",
        "\n",
        "👍",
        "é",
        "\u200b",
        "(",
    ],
)
def test_ten_thousand_characters_are_read_in_no_time(piece):
    text = (piece * LONG)[:LONG]
    began = time.process_time()
    for read in (plain, command, address, host, invitation_code, looks_like_a_leak, looks_like_a_sentence, written):
        read(text)
    choice(text, SHOWN)
    wrong_field(text, FIELDS)
    has_any_shape(text)
    assert time.process_time() - began < 1  # it takes about 0.03 s; what is quadratic takes many seconds


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("123456", "123456"), ("123 456", "123456"), ("123-456.", "123456"), ("it is 123456!", "123456"),
        ("1234567", None), ("12345", None), ("123456 or 654321", None), ("+5511999990001", None), ("", None),
        ("\u200b123456", "123456"), ("\u0661\u0662\u0663\u0664\u0665\u0666", None),
    ],
)  # fmt: skip
def test_six_digits_are_read_where_there_are_exactly_six(text, code):
    assert six_digits(text) == code


def test_six_digits_alone_have_no_word_beside_them():
    assert six_digits(" 123 456 ", alone=True) == "123456"
    assert six_digits("ticket 123456", alone=True) is None
