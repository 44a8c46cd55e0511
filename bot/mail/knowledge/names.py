"""What people type for a provider: its name with a slip of the fingers, or a domain that nearly is a well-known one."""

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping

_MAX_TEXT = 200
_MAX_WORDS = 24
_LONGEST_NAME = 3  # words
_SHORTEST_NAME = 3  # letters, inside a sentence
_SHORT_ANSWER = 3
_LONG_WORD = 5
_LONG_WORD_IN_A_SENTENCE = 7

# Names that are also ordinary words, or so short that a sentence holds them by chance: believed only when they are the
# whole answer.
_ORDINARY = frozenset(
    """a1 aim amazon apple bell bird bt charter cs exchange free globo google hey host ig interia libero live mail
    mailo mac me meo orange pec post posteo qq resend sent ses shaw sky spark spectrum spoko telekom terra tim titan
    virgin vk wp wordpresscom""".split()  # noqa: SIM905 - a list of words reads as one
)
# What surrounds a name in a short answer ("it is UOL", "es Movistar", "pela Locaweb").
_FILLERS = frozenset(
    """a ao as at by con com da de del do e el email en es eu from i im in is it its la mail meu mi minha my na no o on
    our para pela pelo por que s the through use usamos uso utilizo via we with""".split()  # noqa: SIM905
)

# The domains that most people have, and so most people mistype.
WELL_KNOWN = tuple(
    """gmail.com googlemail.com hotmail.com hotmail.com.br hotmail.com.ar hotmail.es hotmail.fr hotmail.it
    hotmail.co.uk hotmail.de outlook.com outlook.com.br outlook.es outlook.pt outlook.com.ar outlook.fr outlook.de
    live.com live.com.mx live.com.ar live.com.pt msn.com yahoo.com yahoo.com.br yahoo.es yahoo.com.ar yahoo.com.mx
    yahoo.fr yahoo.it yahoo.co.uk yahoo.de ymail.com rocketmail.com myyahoo.com icloud.com me.com mac.com aol.com
    uol.com.br bol.com.br terra.com.br terra.com ig.com.br globo.com globomail.com sapo.pt meo.pt proton.me
    protonmail.com tutanota.com zoho.com zohomail.com fastmail.com gmx.com gmx.net gmx.es mail.com yandex.com yandex.ru
    mail.ru comcast.net verizon.net att.net sbcglobal.net bellsouth.net""".split()  # noqa: SIM905
)
# They sell addresses without a country's ending only: gmail.com.br is nobody's.
_WITHOUT_COUNTRY = ("gmail.com", "icloud.com", "hotmail.com", "outlook.com")
# Endings that do not exist, so that even a short name before them is no reason to doubt.
_NO_ENDINGS = frozenset(
    ("con", "cmo", "ocm", "vom", "xom", "comm", "coom", "cim", "cpm", "c0m", "cokm", "conm", "comn")
)
_REAL_NEIGHBOURS = frozenset(("cloud.com", "globe.com", "globos.com", "terras.com"))
_KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


def folded(text: str) -> str:
    """`text` in lower case and without accents."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    return "".join(char for char in apart if not unicodedata.combining(char))


def squeezed(text: str) -> str:
    """`text` as names are compared: letters and digits only, lower case, no accents."""
    return "".join(char for char in folded(text) if char.isalnum())


def one_slip(one: str, other: str) -> bool:
    """Whether the two are equal, or one letter is missing, too many, wrong, or two neighbours are swapped."""
    if one == other:
        return True
    if abs(len(one) - len(other)) > 1:
        return False
    start = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    first, second = one[start:], other[start:]
    if len(first) == len(second):
        swapped = first[1::-1] == second[:2] and first[2:] == second[2:]
        return swapped or first[1:] == second[1:]
    return first[1:] == second or first == second[1:]


class Names:
    """An index from what providers are called to their ids."""

    def __init__(self, names: Iterable[tuple[str, str]]) -> None:
        """`names`: pairs of a name and the id that it means, in the order of preference."""
        self._ids: dict[str, list[str]] = {}
        for name, id_ in names:
            key = squeezed(name)
            if key and id_ not in self._ids.setdefault(key, []):
                self._ids[key].append(id_)
        self._begun: dict[tuple[str, int], list[str]] = {}
        for key in self._ids:
            if key not in _ORDINARY:
                self._begun.setdefault((key[0], len(key)), []).append(key)
        self._place = {key: place for place, key in enumerate(self._ids)}

    def find(self, text: str) -> tuple[str, ...]:
        """The ids that `text` speaks of, the surest first; () where no name is in it. Reads 200 letters at most."""
        words = _words(text[:_MAX_TEXT])
        whole = squeezed("".join(word for word in words if word not in _FILLERS))
        found = [*self._ids.get(squeezed(text[:_MAX_TEXT]), ()), *self._ids.get(whole, ())]
        if not found:
            found = list(self._inside(words))
        return tuple(dict.fromkeys(found or self._nearly(words)))

    def _inside(self, words: list[str]) -> Iterator[str]:
        """Names inside a sentence, the longest first, no word counted twice."""
        taken: set[int] = set()
        for length, start in _stretches(words):
            places = set(range(start, start + length))
            key = "".join(words[start : start + length])
            if taken.isdisjoint(places) and key in self._ids and len(key) >= _SHORTEST_NAME and key not in _ORDINARY:
                taken |= places
                yield from self._ids[key]

    def _nearly(self, words: list[str]) -> Iterator[str]:
        """Names with one slip: from five letters on in a short answer, from seven in a sentence."""
        meant = [word for word in words if word not in _FILLERS]
        shortest = _LONG_WORD if len(meant) <= _SHORT_ANSWER else _LONG_WORD_IN_A_SENTENCE
        for length, start in _stretches(meant):
            typed = "".join(meant[start : start + length])
            if len(typed) < shortest:
                continue
            lengths = [one for one in (len(typed) - 1, len(typed), len(typed) + 1) if one >= shortest]
            near = [key for one in lengths for key in self._begun.get((typed[0], one), ()) if one_slip(typed, key)]
            for key in sorted(near, key=self._place.__getitem__):
                yield from self._ids[key]


def _words(text: str) -> list[str]:
    spaced = "".join(char if char.isalnum() else " " for char in folded(text))
    return spaced.split()[:_MAX_WORDS]


def _stretches(words: list[str]) -> Iterator[tuple[int, int]]:
    """Length and start of every stretch of words that may be one name, long ones first."""
    for length in range(_LONGEST_NAME, 0, -1):
        for start in range(len(words) - length + 1):
            yield length, start


def near(domain: str, is_known: Callable[[str], bool]) -> str | None:
    """The well-known domain that `domain` (ASCII, lower case) is a slip of, or None; never for one that is known."""
    if is_known(domain) or domain in _REAL_NEIGHBOURS:
        return None
    for known in _WITHOUT_COUNTRY:
        ending = domain.removeprefix(f"{known}.")
        if ending != domain and len(ending) == 2 and ending.isalpha():  # noqa: PLR2004 - a country
            return known
    return next((known for known in WELL_KNOWN if _is_slip(domain, known)), None)


def _is_slip(domain: str, known: str) -> bool:
    (name, _, ending), (right, _, right_ending) = domain.partition("."), known.partition(".")
    if name == right:
        return _is_slip_of_ending(ending, right_ending, long=len(right) >= _LONG_WORD)
    return _mended(ending) == right_ending and len(right) >= _LONG_WORD and _is_slip_of_name(name, right)


def _is_slip_of_name(name: str, right: str) -> bool:
    """The first letter is seldom wrong, and where it is another, it is mostly another firm's name."""
    if name[0] == right[0]:
        return one_slip(name, right)
    beside = name[1:] == right[1:] and _are_neighbours(name[0], right[0])
    return beside or (name[:2] == right[1::-1] and name[2:] == right[2:])


def _is_slip_of_ending(ending: str, right: str, *, long: bool) -> bool:
    if _mended(ending) == right:
        return True
    last, right_last = ending.rpartition(".")[2], right.rpartition(".")[2]
    another_country = last != right_last and len(last) == len(right_last) == 2  # noqa: PLR2004 - a country's ending
    return long and not another_country and one_slip(ending, right)


def _mended(ending: str) -> str:
    return ".".join("com" if part in _NO_ENDINGS else part for part in ending.split("."))


def _are_neighbours(one: str, other: str) -> bool:
    """Whether two letters lie side by side on a keyboard."""
    places = _places()
    if one not in places or other not in places:
        return False
    (row, at), (other_row, other_at) = places[one], places[other]
    return abs(row - other_row) <= 1 and abs(at - other_at) <= 1


def _places() -> Mapping[str, tuple[int, int]]:
    return {char: (row, at) for row, keys in enumerate(_KEYS) for at, char in enumerate(keys)}
