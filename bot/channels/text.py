"""What is text, whichever channel it came by."""

import re

NOT_TEXT = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def clean(text: str) -> str:
    """Line ends as newlines, tabs as blanks, no other control characters, no half characters."""
    return NOT_TEXT.sub("", text.replace("\r\n", "\n").replace("\r", "\n").replace("\t", " "))
