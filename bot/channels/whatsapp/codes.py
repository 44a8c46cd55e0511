"""Twilio's error codes, and what is to be done about them. Texts change, codes do not.

Each code is explained at https://www.twilio.com/docs/api/errors/<code>. They arrive as answers to a request or, often
minutes later, in a status callback. What stands in no table is for a person to look at.
"""

from collections.abc import Mapping
from typing import Literal

Fate = Literal["later", "stop", "permanent", "operator", "ours"]

OUTSIDE_WINDOW = "63016"  # free words more than 24 hours after the person's last message: only a template goes out
TOO_EARLY = "20009"  # to erase: wait at least a minute, in rare cases days
LOST_CONTENT = frozenset({"21654", "21655"})  # the Content resource was deleted, or belongs to another account
BAD_CONTENT = LOST_CONTENT | {"21656", "21658"}  # its variables are not taken: newlines, empty, too long

_FATES: Mapping[Fate, tuple[str, ...]] = {
    "later": ("63018", "63119", "21611", "30001", "20429", TOO_EARLY),
    "stop": ("63014", "21610"),
    "permanent": (OUTSIDE_WINDOW, "63024", "63003", "63013", "63015", "63021", "63023", "30008"),
    "operator": ("63007", "20003", "20005"),
    "ours": ("21656", "21654", "21655", "21658", "21617", "30400"),
}
_BY_CODE: Mapping[str, Fate] = {code: fate for fate, codes in _FATES.items() for code in codes}


def fate(code: str) -> Fate:
    """What to do about a message that failed with this code.

    `later`: send it again after a while. `stop`: send this person nothing any more. `permanent`: this message will
    never go. `operator`: an account or a sender is set up wrongly; the message can wait. `ours`: we built it wrongly.
    """
    return _BY_CODE.get(code, "permanent")
