"""What people say besides answers, in their own words: a greeting, that they don't know, that the link did not come.

Closed patterns in all three languages at once, for short messages only: what says more is for the guide. They are
matched with plain text: no capitals, no accents, no marks around it.
"""

import re
from typing import Literal

from flows.reading import MAX_REMARK, plain

Remark = Literal["greeting", "thanks", "who", "later", "unsure", "no_password", "no_link", "no_code"]


def _any(*alternatives: str) -> str:
    return f"(?:{'|'.join(alternatives)})"


_GREETING = _any(
    "(?:hi|hello|hey)(?: there)?", "hiya", "good (?:morning|afternoon|evening)", "how are you",
    "oi+", "ola", "opa", "e ai", "bom dia", "boa (?:tarde|noite)", "(?:tudo|td) bem", "como vai",
    "hola", "buenas(?: tardes| noches)?", "buenos dias", "que tal", "como estas?",
)  # fmt: skip
_THANKS = _any(
    "(?:many )?thank(?:s| you)", "thx",
    "(?:muito )?(?:obrigad|brigad)[oa]", "valeu",
    "(?:muchas )?gracias",
)  # fmt: skip
_SOMEBODY = "(?:an? |um |uma |un |una |real )*" + _any(
    "(?:ro)?bot", "human", "person", "machine", "ai",
    "robo", "human[oa]", "pessoa", "maquina", "ia",
    "persona",
)  # fmt: skip
_WHO = _any(
    "who are you", "who is this", r"who am i \w+ (?:to|with)", "what are you",
    f"(?:are you|is this) {_SOMEBODY}(?: or .+)?", rf"am i \w+ (?:to|with) {_SOMEBODY}(?: or .+)?",
    "quem e (?:voce|vc)", "quem (?:esta )?fala(?:ndo)?", "com quem (?:eu )?(?:falo|estou falando)",
    f"(?:voce|vc|isso|isto) e {_SOMEBODY}(?: ou .+)?", f"(?:eu )?(?:estou|to) falando com {_SOMEBODY}(?: ou .+)?",
    "quien (?:eres|es|habla)", "con quien (?:hablo|estoy hablando)",
    f"(?:tu )?(?:eres|esto es) {_SOMEBODY}(?: o .+)?", f"(?:hablo|estoy hablando) con {_SOMEBODY}(?: o .+)?",
)  # fmt: skip
_UNSURE = _any(
    r"(?:i )?(?:do not|don\W?t|can\W?t|cannot) (?:know|remember|recall)", "i (?:have )?forgot(?:ten)?",
    "idk", "dunno", "no idea", r"(?:i\W?m )?not sure",
    "(?:eu )?nao (?:sei|(?:me )?lembro|faco ideia|tenho (?:a menor )?ideia)", "sei la", "(?:eu )?esqueci",
    # without its accent "no sé" is the beginning of "no se abre", too
    r"no (?:lo |la )?se(?= (?:cual|que|quien|la|mi|el|donde|nada)\b|\W*$)", "no (?:lo |la )?recuerdo", "no me acuerdo",
    "ni idea", "no tengo (?:ni )?idea", "(?:la |lo )?olvide", "se me olvido",
)  # fmt: skip
_OF_WHAT = _any(
    "what", "which", "who", "where", "it", "that", "the", "my", "them", "yet", "sorry",
    "o", "a", "qual", "quem", "isso", "minha", "meu", "ainda", "d[eao]", "desculp[ea]",
    "cual", "quien", "que", "donde", "eso", "el", "la", "mi", "nada", "todavia", "aun", "perdon",
)  # fmt: skip
_LATER = _any(
    "later", "not now", "another time", "busy(?: now)?",
    "depois", "mais tarde", "agora nao", "outra hora", "ocupad[oa](?: agora| ahora)?",
    "luego", "mas tarde", "despues", "ahora no", "en otro momento",
)  # fmt: skip
_WORD = r"[^\W\d]+(?:['\u2019][^\W\d]+)?"  # of letters only: what holds digits or signs may be a password
_ASKING = _any("what", "how", "when", "que ", "o que", "como", "quando", "cuando")
_GONE = _any(
    "where", "lost", "missing", "expired", "broken", "resend", "send me", "another", "again", "new", "without",
    "onde", "cade", "perdi", "sumiu", "expirou", "venceu", "(?:re)?envi[ae]", "mand[ae]", "outr[oa]", "nov[oa]", "sem",
    "donde", "caduco", "vencio", "expiro", "otr[oa]", "nuev[oa]", "sin",
)  # fmt: skip
_THERE = _any(
    "arriv", "came", "come", "get", "got", "receiv", "have", "work", "open", "load", "see", "find",
    "cheg", "receb", "abr", "funciona", "tenho", "vejo", r"vi\b", "acho", "achei", "encontr",
    "lleg", "recib", "sirve", "tengo", "veo", "encuentr",
)  # fmt: skip
_NOT = r"(?:\b(?:not|no|never|cannot|nao|nunca|nem|nenhum|ningun)|n['\u2019 ]?t)\b"
_LINK = r"\b(?:link|enlace)s?\b"
_CODE = r"\b(?:code|invitation|invite|codigo|convite|invitacion)\b"
_LACKING = re.compile(rf"\b{_GONE}\b|{_NOT}(?:\W+(?!want|quer|quier)\w+){{0,2}}?\W+{_THERE}|\bno (?:{_LINK}|{_CODE})")

_IT = _any("it", "i", "this", "that", "do", "does", "did", "can", "could", "ele", "isso", "ela", "eso", "esto", "a mi")
_COMES = _any(
    "open", "load", "work", "arriv", "come", "came", "get", "got", "receiv",
    "abr", "carreg", "funcion", "cheg", "receb", "carg", "lleg", "recib", "sirve",
)  # fmt: skip
_HERE = _any("it", "this", "here", "anything", "for me", "aqui", "nada", "pra mim", "para mim", "aca", "para mi")

# A thing, and what is said of it.
_THINGS: tuple[tuple[Remark, re.Pattern[str], re.Pattern[str]], ...] = (
    ("no_link", re.compile(_LINK), _LACKING),
    ("no_code", re.compile(_CODE), _LACKING),
    (
        "no_password",
        re.compile(r"\b(?:password|senha|contrasena|clave)\b"),
        re.compile(rf"\b(?:{_UNSURE}|perdi|lost)\b"),
    ),
)
# The whole message is one of these.
_WHOLE: tuple[tuple[Remark, re.Pattern[str]], ...] = (
    ("greeting", re.compile(rf"(?:{_GREETING}(?!\w)\W*)+|👋+")),
    ("thanks", re.compile(rf"(?:{_THANKS}(?!\w)\W*)+|🙏+")),
    ("who", re.compile(rf"{_WHO}\W*")),
    # "não abre": of whatever was sent last
    ("no_link", re.compile(rf"(?:{_IT}\W+)*\w*{_NOT}(?:\W+(?:se|me))*\W+{_COMES}\w*(?:\W+{_HERE})?")),
    ("unsure", re.compile(rf"{_UNSURE}(?:[ ,]+(?!.*(?:to do|fazer|hacer)){_OF_WHAT}\b[^?.@\d]*)?")),
    ("later", re.compile(rf"(?:(?!{_ASKING}){_WORD}[\s,]+){{0,5}}?{_LATER}(?:[\s,]+{_WORD}){{0,2}}")),
)


def remark(text: str) -> Remark | None:
    """What a short message says besides an answer, or None. Of an unknown thing ("I forgot the password") the thing.

    "Is the link safe?" and "I don't want to open a link" are none: the guide answers them.
    """
    if len(text) > MAX_REMARK:
        return None
    said = plain(text)
    for name, thing, lacking in _THINGS:
        if thing.search(said) and lacking.search(said):
            return name
    return next((name for name, words in _WHOLE if words.fullmatch(said)), None)
