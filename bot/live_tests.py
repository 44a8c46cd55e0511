"""What all live tests share: how they are counted, and what of a failure a person is told."""

from bot.handiwork import Tools
from bot.limits import Act, Allowed, Exhausted
from bot.mail.wire.probe import Failed
from bot.store import mailboxes
from bot.store.conversations import Held
from bot.store.engine import Row, reading
from flows.words import Account, Server

VAGUE = frozenset(
    {
        "connection_dropped",
        "connection_timeout_or_blocked_port",
        "greeting_timeout",
        "server_temporary_failure",
        "tls_wrong_mode_for_port",
    }
)
NO_AGENCY = "none"  # all who left theirs in the middle count as one


def stored(row: Row) -> Account:
    """The account of a saved mailbox, or of a mail that leaves from it."""
    return Account(row.address, row.user_name, Server(row.host, row.port, row.security), row.transport)


def agency_key(tools: Tools, held: Held) -> str:
    """The agency that a contact acts for, as a key of its limits."""
    with reading(tools.engine) as db:
        row = mailboxes.standing(db, held.member_id, held.contact_id) if held.member_id else None
    return str(row.agency_id) if row else NO_AGENCY


def count_test(tools: Tools, held: Held, account: Account) -> Allowed | Exhausted:
    """Count one live test by this person at this server, with this address."""
    test = Act("live_test", (str(held.contact_id), agency_key(tools, held), account.server.host))
    return tools.limits.allow_all([test, Act("sign_in", (account.address.lower(),))])


def told(failed: Failed) -> str:
    """Before a mail server greeted us a person learns only that none answered: else this would be a port scanner."""
    if failed.stage == "dns" and failed.who == "us":
        return "server_temporary_failure"  # our own name server: it is no mistake of theirs
    return "connection_refused" if unanswered(failed) else failed.cause


def unanswered(failed: Failed) -> bool:
    """Whether a silent port has to look like a closed one, in its cause and in what we do about it."""
    name_server = failed.stage == "dns" and failed.who == "us"
    return not failed.answered and failed.cause in VAGUE and not name_server
