"""An IMAP server on loopback that does what a test tells it to: the right thing, unless told otherwise.

Each moment of a session has a reply: a string in which `{tag}` stands for the command's tag, one of CLOSE, RESET,
SILENT, or a callable that gets the Conversation. `mail`, `commands`, `sign_ins` and `connections` tell what came in.
"""

import re
import shlex
from collections.abc import Iterable, Mapping
from email.parser import BytesHeaderParser
from typing import Any

from tests.faulty_smtp import Conversation, FaultySMTP, said

PART = re.compile(r"<0\.(\d+)>")
LITERAL = re.compile(rb"\{(\d+)\}$")
FLAGGED = ('(\\HasNoChildren \\Sent) "/" "Sent"', '() "/" "INBOX"')


class FaultyIMAP(FaultySMTP):
    """The server, as a context manager: FaultySMTP's connections and threads, another protocol on them.

    `folders` is what LIST answers, one line each; `mail` holds what is in them, by their names on the wire.
    `capabilities` is what is offered (inside TLS, where `security` is "starttls"). Replies by moment, in place of what
    stands in brackets: greeting, capability, starttls, login [LOGIN and AUTHENTICATE], challenge (of XOAUTH2, before
    it: what stands behind the +), id, list, namespace, examine, search (one reply or one a header), fetch, append
    [before the literal], appended [after it], logout. A reply to `appended` given as `(stored, reply)` tells whether
    the mail is kept.
    """

    def __init__(
        self,
        *context: Any,
        folders: Iterable[str] = FLAGGED,
        mail: Mapping[str, list[bytes]] | None = None,
        capabilities: str = "IMAP4rev1 AUTH=PLAIN ID NAMESPACE",
        **replies: Any,
    ) -> None:
        self._stored, replies["appended"] = replies.get("appended", (True, "{tag} OK done"))
        super().__init__(*context, **replies)
        self._folders = tuple(folders)
        self._capabilities = capabilities
        self.mail = {"INBOX": [], "Sent": [], **(mail or {})}
        self.secure = False
        self.appends: list[tuple[str, bytes]] = []

    @property
    def auths(self) -> list[str]:
        return [command for command in self.commands if command.split(" ")[0] in {"LOGIN", "AUTHENTICATE"}]

    @property
    def words(self) -> list[str]:
        """The first word of each command that came in."""
        return [command.split(" ")[0] for command in self.commands]

    def _session(self, conversation: Conversation) -> None:
        self.secure = self._security == "tls"
        if self.secure:
            conversation.start_tls(self._context)
        self._say(conversation, "greeting", "* OK ready", "*")
        folder = "INBOX"
        while True:
            tag, _, line = conversation.hear().decode("latin-1").partition(" ")
            self.commands.append(line)
            word = line.partition(" ")[0]
            if word in {"EXAMINE", "SELECT"}:
                folder = self._name(line)
                self._say(conversation, "examine", f"* {len(self.mail[folder])} EXISTS\r\n{{tag}} OK done", tag)
            elif word == "SEARCH":
                self._search(conversation, folder, line, tag)
            elif word == "FETCH":
                self._fetch(conversation, folder, line, tag)
            elif word == "APPEND":
                self._append(conversation, line, tag)
            else:
                self._command(conversation, word, line, tag)
            if word == "LOGOUT":
                return

    def _say(self, conversation: Conversation, moment: str, usual: str, tag: str, key: str | None = None) -> str:
        reply = self._replies.get(moment, usual)
        if isinstance(reply, Mapping):
            reply = reply.get(key, usual)
        if not isinstance(reply, str):
            reply(conversation)
            return ""
        text = reply.replace("{tag}", tag)
        conversation.say(text)
        return text

    def _command(self, conversation: Conversation, word: str, line: str, tag: str) -> None:
        if word == "STARTTLS":
            if self._say(conversation, "starttls", "{tag} OK go", tag).find(f"{tag} OK") >= 0:
                conversation.start_tls(self._context)
                self.secure = True
        elif word in {"AUTHENTICATE", "LOGIN"}:
            self._sign_in(conversation, word, line, tag)
        else:
            usual = {
                "CAPABILITY": f"* CAPABILITY {self._offer_imap()}\r\n{{tag}} OK done",
                "LIST": "".join(f"* LIST {folder}\r\n" for folder in self._folders) + "{tag} OK done",
                "NAMESPACE": '* NAMESPACE (("" "/")) NIL NIL\r\n{tag} OK done',
                "ID": "* ID NIL\r\n{tag} OK done",
                "LOGOUT": "* BYE\r\n{tag} OK bye",
            }.get(word, "{tag} BAD what?")
            self._say(conversation, word.lower(), usual, tag)

    def _offer_imap(self) -> str:
        if self.secure or self._security == "plain":
            return self._capabilities
        return "IMAP4rev1 STARTTLS LOGINDISABLED"

    def _sign_in(self, conversation: Conversation, word: str, line: str, tag: str) -> None:
        if word == "LOGIN":
            user = shlex.split(line)[1].encode("latin-1").decode()
            given = [user, self._literal(conversation, line).decode()]
        else:
            conversation.say("+ ")
            given = said(conversation.hear())
        self.sign_ins.append((given[0], given[1]))
        if "challenge" in self._replies and word == "AUTHENTICATE":
            conversation.say(f"+ {self._replies['challenge']}")
            self.after_challenge.append(conversation.hear().decode("latin-1"))
        self._say(conversation, "login", "{tag} OK in", tag)

    def _search(self, conversation: Conversation, folder: str, line: str, tag: str) -> None:
        _, _, header, value = shlex.split(line)
        messages = enumerate(self.mail[folder], 1)
        hits = [str(number) for number, mail in messages if value in _headers(mail).get(header, "")]
        self._say(conversation, "search", f"* SEARCH {' '.join(hits)}\r\n{{tag}} OK done", tag, header)

    def _fetch(self, conversation: Conversation, folder: str, line: str, tag: str) -> None:
        answer = ""
        part = PART.search(line)
        for number in map(int, line.split(" ")[1].split(",")):
            headers = _headers(self.mail[folder][number - 1])
            kept = "".join(f"{name}: {value}\r\n" for name, value in headers.items() if "message-id" in name.lower())
            kept = f"{kept}\r\n"[: int(part[1]) if part else None]
            answer += f"* {number} FETCH (BODY[HEADER.FIELDS (MESSAGE-ID)] {{{len(kept)}}}\r\n{kept})\r\n"
        self._say(conversation, "fetch", answer + "{tag} OK done", tag)

    def _append(self, conversation: Conversation, line: str, tag: str) -> None:
        if not self._say(conversation, "append", "+ go", tag).startswith("+"):
            return
        content = self._read(conversation, line)
        folder = self._name(line)
        self.appends.append((folder, content))
        if self._stored:
            self.mail.setdefault(folder, []).append(content)
        self._say(conversation, "appended", "", tag)

    def _literal(self, conversation: Conversation, line: str) -> bytes:
        conversation.say("+ go")
        return self._read(conversation, line)

    def _read(self, conversation: Conversation, line: str) -> bytes:
        """The literal that a command ends with, and the end of its line."""
        found = LITERAL.search(line.encode("latin-1"))
        assert found
        size = int(found[1])
        while len(conversation._unread) < size:
            data = conversation.sock.recv(65_536)
            assert data
            conversation._unread += data
        content, conversation._unread = conversation._unread[:size], conversation._unread[size:]
        assert conversation.hear() == b""
        return content

    def _name(self, line: str) -> str:
        return shlex.split(line)[1]


def _headers(mail: bytes) -> Any:
    return BytesHeaderParser().parsebytes(mail)
