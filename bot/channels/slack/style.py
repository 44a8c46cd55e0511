"""How Slack is told what is code and what is only a star: https://docs.slack.dev/messaging/formatting-message-text.

`&`, `<` and `>` are Slack's own signs and become entities: otherwise a person's words could ping a whole channel. Its
other marks work only where no blank is between them and the words, so each foreign one is set between two hair spaces;
one stands in a bare @channel, too, which Slack may read as if it were written in brackets.
"""

import re

_HAIR = "\u200a"
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_PING = re.compile(r"@(?=(?:channel|here|everyone)\b)", re.IGNORECASE)
_ESCAPED = str.maketrans(_ENTITIES)
_HARMLESS = str.maketrans(_ENTITIES | {mark: f"{_HAIR}{mark}{_HAIR}" for mark in "*_~"} | {"`": "\u02cb"})


class SlackStyle:
    """`flows.speech.Style` for Slack's mrkdwn."""

    place = "slack"

    def plain(self, text: str) -> str:
        """Words of a person or the world; none of their signs makes bold, a link or a mention."""
        return _PING.sub(f"@{_HAIR}", text.translate(_HARMLESS))

    def code(self, text: str) -> str:
        """Mono-spaced, letter by letter. Text with a back-tick or a line end in it is shown plain."""
        if not text or "`" in text or "\n" in text:
            return self.plain(text)
        return f"`{text.translate(_ESCAPED)}`"

    def kept(self, text: str) -> str:
        """Marks as they are; still no link in disguise, and nobody is pinged."""
        return _PING.sub(f"@{_HAIR}", text.translate(_ESCAPED))

    def quote(self, text: str) -> str:
        """The person's words behind Slack's bar, line by line."""
        return "\n".join(f"> {self.plain(line)}" for line in text.splitlines())
