"""Whether a chat message is a pasted error rather than something a person says or asks."""

import re

from bot.mail.knowledge.clues import phrases
from bot.mail.knowledge.pasted import unwrapped

_MOST_WORDS = 30  # of a message that is an error by one phrase alone
_LEAST_SHARE = 0.3  # of it that the phrase makes up

# What people do not write by hand. The text is unwrapped: lower case, without accents.
_MARKED = (
    r"(?<![\w.])[45]\d\d[- ]+#?[45]\.\d{1,2}\.\d{1,3}(?![\d.])",  # a reply with its enhanced code
    r"\([45]\d\d, ?b?['\"]",  # smtplib
    r"traceback \(most recent call last\)",
    r"[a-z]{5}(?:error|exception)\b(?=[:\s(]|$)",
    r"\b(?:econn\w+|etimedout|enotfound|eauth|esocket|edns|ehostunreach|enetunreach|eai_\w+|eenvelope|epipe)\b",
    r"\[?(?:errno|winerror) -?\d+\]?",
    r"\b0x80[0-9a-f]{6}\b",
    r"\[ssl[:\]]|\bssl: [a-z_]+|\bssl routines|\b(?:wrong_version_number|certificate_verify_failed)\b",
    r"\bsec_e_\w+|\bcert_has_expired\b|\bself_signed_cert\w*|\bunable_to_\w+",
    r"\baadsts\d{4,}|\b(?:invalid_grant|admin_policy_enforced|redirect_uri_mismatch)\b",
    r"\bx509: |\bdial tcp\b|\bnxdomain\b|\bcurl: \(\d+\)",
    r"\[(?:authenticationfailed|alert|unavailable|privacyrequired|overquota|trycreate|limit|expired|noperm)\]",
    r"\bat [\w.$<>/]{1,200} ?\([^()]{1,200}:\d+\)",  # a stack
    r"\bat [\w.$]{1,200}\.[\w$<>]{1,100}\([\w ,'\[\]]{0,200}\)",
    r"\bnested exception\b|\bstack ?trace:|#\d+ /\S+\.php",
    r"\b(?:smtp|imap|mailer|phpmailer|swift_transportexception)[ -](?:error|fehler)\b ?[:(]",
    r"\bdiagnostic-code:|\bremote server returned\b|\bsaid: [45]\d\d\b|\bstatus=(?:bounced|deferred)\b",
    r"\bexpected response code\b|\bserver response was: |\bnoqueue: reject",
)
_MARKS = re.compile("|".join(_MARKED))
_REPLY = re.compile(r"^(?:error:? |smtp; ?)?(?:421|4[35]\d|5[0-5]\d)[- ](?=[a-z<#\"'])")
# Words of a person, in the three languages that the assistant speaks
_PERSON = re.compile(
    r"\?|\b(?:i|i'm|my|me|we|our|you|your|hi|hello|hey|dear|please|thanks|thank|why|how|what|where|can|should"
    r"|eu|meu|minha|meus|minhas|voce|voces|nos|ola|oi|bom dia|boa|obrigad[oa]|por favor|porque|por que|como|qual|quero"
    r"|yo|mi|mis|tu|usted|hola|buenos|buenas|gracias|cual|quiero|donde|onde)\b"
)


def looks_like_an_error(text: str) -> bool:
    """True for a server's reply, a traceback, a log line, a dialog; False for what a person says, asks or chooses.

    A message in which a person quotes an error counts as one: what they want is its explanation.
    """
    words = unwrapped(text)
    if _MARKS.search(words):
        return True
    if _PERSON.search(words) or len(words.split()) > _MOST_WORDS:
        return False
    longest = max((len(phrase) for phrase in phrases() if phrase in words), default=0)
    return longest > 0 and (bool(_REPLY.match(words)) or longest >= _LEAST_SHARE * len(words))
