"""Reading what people type: commands, choices, addresses, codes, and what may be a password. Pure and bounded."""

import difflib
import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from itertools import dropwhile
from typing import Literal

from flows.words import LANGUAGES, Language

Command = Literal[
    "stop", "start", "leave", "back", "menu", "help", "again", "person", "bot", "link", "remove", "erase",
    "data", "english", "portuguese", "spanish",
]  # fmt: skip

# A command is a whole message. Where two languages share a word it means the same in both; a test holds it.
COMMANDS: dict[Command, dict[Language, tuple[str, ...]]] = {
    "stop": {"en": ("stop", "unsubscribe"), "pt": ("parar mensagens", "stop"), "es": ("baja", "stop")},
    "start": {"en": ("start",), "pt": ("ativar", "start"), "es": ("alta", "start")},
    "leave": {
        "en": ("cancel", "exit", "quit", "end"),
        "pt": ("cancelar", "sair", "parar"),
        "es": ("cancelar", "salir", "parar"),
    },
    "back": {"en": ("back",), "pt": ("voltar",), "es": ("volver", "atrás")},
    "menu": {"en": ("menu",), "pt": ("menu",), "es": ("menú",)},
    "help": {"en": ("help", "?"), "pt": ("ajuda", "?"), "es": ("ayuda", "?")},
    "again": {"en": ("again",), "pt": ("repetir",), "es": ("repetir",)},
    "person": {
        "en": ("person", "human", "agent"),
        "pt": ("pessoa", "humano", "atendente"),
        "es": ("persona", "humano", "agente"),
    },
    "bot": {"en": ("bot",), "pt": ("bot", "robô"), "es": ("bot", "robot")},
    "link": {"en": ("link", "new link"), "pt": ("link", "novo link"), "es": ("enlace", "enlace nuevo", "nuevo enlace")},
    "remove": {"en": ("remove",), "pt": ("remover",), "es": ("quitar",)},
    "erase": {"en": ("erase",), "pt": ("apagar",), "es": ("borrar",)},
    "data": {
        "en": ("my data", "what do you know about me", "what do you store about me", "export my data"),
        "pt": ("meus dados", "o que você sabe sobre mim", "o que você guarda sobre mim", "exportar meus dados"),
        "es": ("mis datos", "qué sabes de mí", "qué guardas de mí", "exportar mis datos"),
    },
    "english": {"en": ("english",), "pt": ("inglês",), "es": ("inglés",)},
    "portuguese": {"en": ("portuguese",), "pt": ("português",), "es": ("portugués",)},
    "spanish": {"en": ("spanish",), "pt": ("espanhol",), "es": ("español",)},
}

LANGUAGE_OF: dict[Command, Language] = {"english": "en", "portuguese": "pt", "spanish": "es"}

YES = frozenset({
    "yes", "y", "yep", "yeah", "ok", "okay", "sure", "yes please", "sim", "s", "claro", "isso", "sim por favor",
    "si", "dale", "vale", "si por favor", "👍",
})  # fmt: skip
NO = frozenset({"no", "n", "nope", "no thanks", "nao", "nao obrigado", "nao obrigada", "no gracias", "👎"})
# What yes and no mean where a question has these choices, whatever their labels say.
YES_VALUES = ("yes", "send", "erase")
NO_VALUES = ("no", "drop", "keep")
WRONG = re.compile(r"\b(?:wrong|incorrect[oa]?|errad[oa]|incorret[oa]|equivocad[oa]|errei|me equivoque|est[ao] mal)\b")
MAX_REMARK = 60  # "the address is wrong" is a short remark, not a letter
MAX_COMMAND = 40  # characters; no command is longer
LABEL_LIKENESS = 0.84  # a label of six letters may carry one typo; shorter ones none
MIN_TYPO_LENGTH = 5
MAX_ADDRESS = 254  # RFC 5321 §4.5.3.1.3, less the angle brackets
MAX_LOCAL = 64  # RFC 5321 §4.5.3.1.1

_UNSEEN = re.compile(r"[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufe0f\ufeff]")  # copied along, never meant
_SKIN_TONES = re.compile(r"[\U0001f3fb-\U0001f3ff]")
_BLANKS = re.compile(r"\s+")
_QUOTES = "\"'`“”«»\u2018\u2019"
_AROUND = f" .,;:!¡¿*_~…{_QUOTES}"  # also the marks of bold: our own messages write commands in bold


def seen(text: str) -> str:
    """Text without the signs that nobody sees (zero width, direction marks) and without blanks around it."""
    return _UNSEEN.sub("", text).strip()


def plain(text: str) -> str:
    """Text without case, accents, outer blanks and outer punctuation, for comparing: "  Atrás! " is "atras"."""
    if text.isascii():  # most messages: nothing to fold
        return _BLANKS.sub(" ", text.lower()).strip(_AROUND)
    folded = unicodedata.normalize("NFKD", seen(text).casefold())
    bare = "".join(sign for sign in folded if not unicodedata.combining(sign))
    return _BLANKS.sub(" ", _SKIN_TONES.sub("", bare)).strip(_AROUND)


@lru_cache(maxsize=512)
def _plain_label(shown: str) -> str:
    """`plain` of what we wrote ourselves; what people write is never kept."""
    return plain(shown)


def written(text: str) -> str:
    """A person's own text, less what no mail and no database can hold: control characters and half characters."""
    return "".join(sign for sign in text if sign in "\n\t" or unicodedata.category(sign) not in {"Cc", "Cs"})


@cache
def _command_words() -> dict[str, Command]:
    return {plain(word): name for name, table in COMMANDS.items() for language in LANGUAGES for word in table[language]}


def command(text: str) -> Command | None:
    """The command that this whole message is ("help?" is one), or None. A sentence that contains the word is none."""
    if len(text) > MAX_COMMAND:
        return None
    said = plain(text)
    return _command_words().get(said.rstrip("? ") or said[:1])


def choice(text: str, labels: Sequence[tuple[str, str]]) -> str | None:
    """The value whose number or label the person typed, small typos included; yes, no and thumbs for yes/no.

    `labels` are (value, label) in the order shown.
    """
    said = plain(text)
    if said.isdecimal() and said.isascii() and len(said) <= 2 and 1 <= int(said) <= len(labels):  # noqa: PLR2004
        return labels[int(said) - 1][0]
    by_label = {_plain_label(shown): value for value, shown in labels}
    if said in by_label:
        return by_label[said]
    values = [value for value, _ in labels]
    for group, meant in ((YES, YES_VALUES), (NO, NO_VALUES)):
        if said in group:
            return next((value for value in values if value in meant), None)
    if not MIN_TYPO_LENGTH <= len(said) <= MAX_COMMAND:
        return None
    near = difflib.get_close_matches(said, by_label, n=1, cutoff=LABEL_LIKENESS)
    return by_label[near[0]] if near else None


def wrong_field(text: str, names: Sequence[tuple[str, tuple[str, ...]]]) -> str | None:
    """The field that the person calls wrong ("the address is wrong"), among (field, words for it); the first counts.

    So the narrower ones stand first: "the server's address is wrong" means the server.
    """
    if len(text) > MAX_REMARK or not WRONG.search(said := plain(text)):
        return None
    return next((field for field, words in names if any(_has_word(said, word) for word in words)), None)


def _has_word(said: str, word: str) -> bool:
    return re.search(rf"\b{re.escape(plain(word))}\b", said) is not None


_INTRODUCING = frozenset({"is", "e", "es", "e-mail", "email", "mail", "correo", "address", "endereco", "direccion"})
_WRAPPED_IN = f"<>()[]{{}}*{_QUOTES}"  # what people and programs set around an address or a name


def address(text: str) -> str | None:
    """The one mail address that a person typed, trimmed of what people wrap around it; None if it is none.

    "my e-mail is ana@agency.com" has one too, but "ana silva@agency.com" is none: it may be meant with the blank. A
    line break never passes. Syntax only, and stricter than RFC 5321 (no quoted local part); IDN domains come back as
    typed. The hands look closer (`bot.mail.wire.addresses`).
    """
    bare = seen(text).replace("\xa0", " ")
    if len(bare) > MAX_ADDRESS + MAX_REMARK or not bare.isprintable() or not bare:
        return None
    *before, last = bare.split()
    introduced = not before or before[-1].endswith(":") or plain(before[-1]) in _INTRODUCING
    found = _unwrapped(last)
    return found if introduced and "@" not in "".join(before) and _is_address(found) else None


def _unwrapped(word: str) -> str:
    return word.strip(_WRAPPED_IN).removeprefix("mailto:").strip(_WRAPPED_IN).rstrip(".,;:!?").strip(_WRAPPED_IN)


def _is_address(bare: str) -> bool:
    if len(bare) > MAX_ADDRESS or bare.count("@") != 1:
        return False
    local, domain = bare.split("@")
    fits = re.fullmatch(r"[^\s.@<>\"(),:;\[\]\\]+(\.[^\s.@<>\"(),:;\[\]\\]+)*", local)
    by_number = domain.rpartition(".")[2].isdigit()  # the last part of a name is never a number (RFC 3696 §2)
    return bool(fits) and len(local) <= MAX_LOCAL and host(domain) == domain.lower() and not by_number


_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"({_LABEL}\.)+{_LABEL}")
MAX_HOST = 253  # RFC 1035 §2.3.4, less the length octets


def host(text: str) -> str | None:
    """A host name with at least two labels (or `localhost`), as typed; None if it cannot be one (RFC 1123 §2.1)."""
    bare = re.sub(r"^[a-z]{2,8}://", "", seen(text).lower().strip(_WRAPPED_IN)).rstrip("./")
    if bare == "localhost" or len(bare) > MAX_HOST:
        return bare if bare == "localhost" else None
    try:
        ascii_form = bare.encode("idna").decode("ascii")
    except UnicodeError:
        return None
    return bare if _HOST.fullmatch(ascii_form) and len(ascii_form) <= MAX_HOST else None


# The alphabet of invitation codes leaves out what is misread: 0 O, 1 I L, 5 S, 8 B, 2 Z, U (it makes words).
CODE_ALPHABET = "34679ACDEFGHJKMNPQRTVWXY"
CODE_LENGTH = 12
_SIGNS = f"[{CODE_ALPHABET}]{{4}}"
_BETWEEN = r"[\s\-\u2010-\u2015\u2212\ufe58\ufe63\uff0d]{0,3}"  # phones make typographic dashes of hyphens
_CODE = re.compile(rf"(?<![A-Z0-9])({_SIGNS}){_BETWEEN}({_SIGNS}){_BETWEEN}({_SIGNS})(?![A-Z0-9])")


def invitation_code(text: str) -> str | None:
    """The invitation code anywhere in a message, case, blanks around dashes and the dashes themselves ignored.

    In one piece or in three groups of four; it always holds a digit, so that no ordinary word is one.
    """
    codes = ("".join(match.groups()) for match in _CODE.finditer(seen(text).upper()))
    return next((code for code in codes if any(sign.isdigit() for sign in code)), None)


_MISREAD = re.compile(r"(?<![\w-])(\w{3,5})-(\w{3,5})-(\w{1,5})(?![\w-])", re.ASCII)


def misread_code(text: str) -> str | None:
    """What stands in a message like an invitation code: three groups with dashes.

    Of four signs, whatever they are; or of some more or less, if they are digits and letters: it was cut, or a key was
    hit twice.
    """
    for found in _MISREAD.finditer(seen(text).upper()):
        code = "".join(found.groups())
        if all(len(group) == CODE_LENGTH // 3 for group in found.groups()) or _has_both(code):
            return code
    return None


_HALF = re.compile(rf"(?<![\w-])({_SIGNS})-({_SIGNS})-?(?![\w-])")


def half_a_code(text: str) -> bool:
    """Whether two of an invitation code's three groups stand in a message: it was not copied whole."""
    return any(_has_both("".join(found.groups())) for found in _HALF.finditer(seen(text).upper()))


def _has_both(code: str) -> bool:
    return any(sign.isdigit() for sign in code) and any(sign.isalpha() for sign in code)


_SIX = re.compile(r"(?<!\d)(\d{3})[ -]?(\d{3})(?!\d)", re.ASCII)


def six_digits(text: str, *, alone: bool = False) -> str | None:
    """The code of six digits in a message, if it holds exactly one; blanks or a dash may stand in its middle.

    `alone`: and no word beside it. Where no code was asked for, a number in a sentence is something else.
    """
    found = _SIX.findall(seen(text))
    worded = alone and any(map(str.isalpha, text))
    return "".join(found[0]) if len(found) == 1 and not worded else None


# --- passwords ----------------------------------------------------------------------------------------------------

_SIXTEEN = r"[a-z]{16}|[a-z]{4}( [a-z]{4}){3}"  # "hostname mismatch" has 16 letters, too
SHAPES = {
    # Google shows 16 letters in four groups: support.google.com/accounts/answer/185833
    "google16": _SIXTEEN,
    # Apple: four groups of four letters with hyphens: support.apple.com/102654
    "apple16": r"[a-z]{4}-[a-z]{4}-[a-z]{4}-[a-z]{4}",
    # Yahoo and AOL: 16 letters: help.yahoo.com/kb/SLN15241.html
    "yahoo16": _SIXTEEN,
}
MAX_SECRET = 256
# "what does this mean" has the shape of an app password, too. These words are language; four random letters make one of
# them once in two thousand times.
_FOUR_LETTERS = """
acho algo alla alli also ante aqui baja base bien boas both cada cara caro caso come como cual cuya dado dame
data date days dear dela dele dias dice digo dime does dois done dudo each eles else esas eses esos essa esse
esta este esto ever faca fala feel fica find fora foto from gets give goes good haga hago half hard have hear
help here hice hola hora host http idea into isso isto just keep know lado last late left leva lhes like list
long look made mail mais make mala many mean meio menu mesa meus mine mira mode more most move much muda must
nada name need news next nome nova novo okay once onde only open otra otro over para pass peco pede pero poco
pode pois port post puxa qual quem quer quis read real rede room same save seja send sent seus show sido sign
sigo site smtp some soon stay stop suas sure take tell tema tens test teve text than that them then they this
time tipo toda todo told took tudo turn type usar used usei user vale vaya vejo very vida viva voce wait want
well were what when whom will wish with word work your
"""
_FOUR_LETTER_WORDS = frozenset(_FOUR_LETTERS.split())


def has_shape(text: str, shape: str) -> bool:
    """Whether the whole text has exactly the form of this provider's secrets."""
    return shape in SHAPES and re.fullmatch(SHAPES[shape], text.strip(), re.IGNORECASE) is not None


def has_any_shape(text: str) -> bool:
    """Whether the whole text, written in groups, has the form of some provider's secrets and is not language."""
    bare = text.strip()
    in_groups = " " in bare or "-" in bare
    return in_groups and any(has_shape(bare, shape) for shape in SHAPES) and not has_ordinary_words(bare)


def has_ordinary_words(text: str) -> bool:
    """Whether one of the words is an ordinary one of four letters: what only looks like a secret is language then."""
    return not _FOUR_LETTER_WORDS.isdisjoint(re.split("[ -]", text.casefold().strip()))


def looks_like_a_sentence(text: str) -> bool:
    """Whether this is language rather than a secret: a question mark at its end, or three words or more."""
    return text.strip().endswith("?") or (len(text.split()) >= 3 and not has_any_shape(text))  # noqa: PLR2004 - DESIGN 6


def surely_language(text: str) -> bool:
    """Whether this is language, and nobody's secret: a sentence, or yes or no."""
    return plain(text) in YES | NO or (looks_like_a_sentence(text) and not looks_like_a_leak(text))


_DONE = frozenset({
    "done", "ready", "i did", "signed in", "i signed in", "pronto", "feito", "ja", "ja fiz", "entrei", "fiz", "listo",
    "lista", "hecho", "ya", "ya esta", "entre",
})  # fmt: skip


def says_done(text: str) -> bool:
    """Whether this only says that something is done, or yes or no: nobody's secret."""
    return plain(text) in _DONE | YES | NO


_NAMES = frozenset({"password", "passwd", "pwd", "passcode", "senha", "contrasena", "clave"})
# What may stand between "password" and the password: "a nova senha do meu gmail é Girafa#22".
_LINKS = frozenset({
    "", "-", "\u2013", "\u2014", "is", "was", "for", "the", "my", "new", "app", "e", "eh", "era", "a", "o", "da", "do",
    "de", "para", "minha", "meu", "nova", "es", "la", "el", "del", "mi", "nueva", "ally", "gmail", "google", "outlook",
    "mail", "email", "e-mail", "correo",
})  # fmt: skip
# What may stand behind "password:" without being one.
_NO_SECRET = frozenset({
    "forgot", "forgotten", "unknown", "nothing", "please", "incorrect", "invalid", "expired", "secret", "esqueci",
    "nenhuma", "errada", "incorreta", "invalida", "secreta", "segredo", "olvide", "ninguna", "incorrecta",
})  # fmt: skip
# Words that are as mixed as a password: addresses, hosts, pages, files, products, numbers of things, money, times.
_INNOCENT = re.compile(
    r"\S+@\S+\.[a-z]{2,}|.*://.*|[\w-]+(\.[\w-]+)*\.[a-z]{2,}([:/].*)?"
    r"|(office|microsoft|outlook|windows|iphone|android|galaxy|agencia|agency|gmail|hotmail|yahoo|icloud)[+-]?\d*"
    r"|(ticket|pedido|caso|case|order|issue|protocolo|error|erro|codigo|code|n|nr|no)[#:.º°-]*[\d.-]+"
    r"|\d-?(step|factor|etapas|pasos|fatores|factores)\S*"
    r"|[a-z]{0,2}\$[\d.,]+|[\d.,]+%.*|\d{1,2}h\d{0,2}(m|min)?|[\d.,]+(st|nd|rd|th|px|mb|gb|kb|min|am|pm|hs|hrs)",
)
_SIGNS_OF_SECRETS = frozenset("#$%&*+=^~@!?|")
_OUTSIDE = f".,;:!?()[]<>*_~{_QUOTES}"
_WINDOW = 6  # words behind "password" that are looked at
_SHORTEST_BARE = 8  # without any announcement
_SHORTEST, _LONGEST = 6, 64


# A key for the door, see `bot.door_keys`: 28 letters and digits in groups of four. One without a digit is as good as
# impossible, words without one are not.
_DOOR_KEY = re.compile(r"(?<![\w-])(?:[2-9a-hjkmnp-z]{4}[ -]?){6}[2-9a-hjkmnp-z]{4}(?![\w-])", re.IGNORECASE)


def holds_door_key(text: str) -> bool:
    """Whether a message holds what looks like a key for Ally."""
    return any(any(map(str.isdigit, found.group())) for found in _DOOR_KEY.finditer(text))


SHORTEST_SHAPE = 16  # signs of the shortest secret in SHAPES


def looks_like_a_leak(text: str) -> bool:
    """Whether text that nobody asked for is probably a password: announced as one, or shaped as nothing else is.

    Each word is looked at a few times at most, whatever the length of the text.
    """
    if len(text) < SHORTEST_SHAPE and not any(sign.isdigit() or sign.isspace() for sign in text):
        return False  # one short word, as most messages are
    if has_any_shape(text) or holds_door_key(text):
        return True
    words = seen(text).split()
    if any(_announces(words, at) for at in range(len(words))):
        return True
    alone = len(words) == 1 or (len(words) == 2 and any(_is_address(word) for word in words))  # noqa: PLR2004
    return alone and any(_is_secretive(word) for word in words)


def _announces(words: Sequence[str], at: int) -> bool:
    """Whether the word here says "password", and something that looks like one follows close by."""
    name, colon, rest = re.sub("[:=]", ":", words[at], count=1).partition(":")
    if plain(name) not in _NAMES:
        return False
    behind = [*filter(None, [rest]), *words[at + 1 : at + 1 + _WINDOW]]
    candidates = list(dropwhile(_is_link, behind))
    if not candidates:
        return False
    first, *others = candidates
    links = behind[: -len(candidates)]
    stated = bool(colon) or any(word.endswith((":", "=")) for word in links)
    is_last = not others and at + 1 + _WINDOW >= len(words)
    return _is_mixed(first) or (stated and is_last and _is_one_word(first)) or any(map(_is_secretive, others))


def _is_link(word: str) -> bool:
    return plain(word.rstrip("=")) in _LINKS


def _is_one_word(word: str) -> bool:
    return len(word.strip(_OUTSIDE)) >= _SHORTEST and plain(word) not in _NO_SECRET and not _is_innocent(word)


def _is_mixed(word: str) -> bool:
    """Whether a word behind "password" has more than letters in it: digits, or signs that language does not use."""
    bare = word.strip(_OUTSIDE)
    if not _SHORTEST <= len(bare) <= _LONGEST or _is_innocent(bare):
        return False
    return bare.isdigit() or (_has(bare, str.isalpha) and (_has(bare, str.isdigit) or _has_sign(bare)))


def _is_secretive(word: str) -> bool:
    """Whether a word is so mixed that it is a password even if nobody says so."""
    bare = word.strip(_OUTSIDE)
    if not _SHORTEST_BARE <= len(bare) <= _LONGEST or _is_innocent(bare) or not _has(bare, str.isdigit):
        return False
    both_cases = _has(bare, str.islower) and _has(bare, str.isupper)
    return both_cases or (_has(bare, str.isalpha) and _has_sign(bare[1:]))  # "#summer2024" is a hashtag


def _is_innocent(bare: str) -> bool:
    return _INNOCENT.fullmatch(bare.casefold()) is not None or invitation_code(bare) is not None


def _has(bare: str, kind: Callable[[str], bool]) -> bool:
    return any(map(kind, bare))


def _has_sign(bare: str) -> bool:
    return not _SIGNS_OF_SECRETS.isdisjoint(bare)
