"""How WhatsApp is told what is code and what is only a star.

https://www.twilio.com/docs/whatsapp/message-features. WhatsApp knows no escape sign. Its marks work only with
no blank between them and the words, so each foreign mark is set between two hair spaces; a back-tick works even with
blanks, and becomes the letter that looks like one.
"""

_HAIR = "\u200a"
_HARMLESS = str.maketrans({mark: f"{_HAIR}{mark}{_HAIR}" for mark in "*_~"} | {"`": "\u02cb"})


class WhatsAppStyle:
    """`flows.speech.Style` for WhatsApp."""

    place = ""

    def plain(self, text: str) -> str:
        """Words of a person or the world; none of their signs makes bold, italic, struck or mono."""
        return text.translate(_HARMLESS)

    def code(self, text: str) -> str:
        """Mono-spaced, letter by letter, to be copied as it is. Text with a back-tick in it is shown plain."""
        if not text or "`" in text or "\n" in text:
            return self.plain(text)
        return f"```{text}```"

    def kept(self, text: str) -> str:
        """Its bold, italic and struck are written as Slack's are."""
        return text

    def quote(self, text: str) -> str:
        """The person's words as WhatsApp's block quote, line by line."""
        return "\n".join(f"> {self.plain(line)}" for line in text.splitlines())
