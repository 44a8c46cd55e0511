"""What can be done about a failure: which causes another secret or server cures, and what a person is offered next."""

from collections.abc import Sequence

from flows.powershell import reading_back, switching_on
from flows.speech import MAX_CODE
from flows.words import Account, Code, Say, Server, SignInProvider

SWITCHED_OFF = "smtp_auth_disabled_tenant_or_mailbox"
CONSENT = "sign_in_consent"  # no failure of a mailbox: an administrator has to approve that people sign in
# Another secret than the one that its person signs in with, by hint; else it is the password of the mailbox.
SECRET_KINDS = {
    "app_password": "secret_app",
    "switch_access_on_then_app_password": "secret_app",
    "own_mail_password": "secret_own",
    "authorization_code": "secret_code",
    "api_key": "secret_key",
    "token_on_paid_plan": "secret_key",
}
# Where another secret is the cure. Everything else keeps it: the fault lies elsewhere (DESIGN 6).
SECRET_CAUSES = frozenset({"wrong_credentials", "app_password_required", "less_secure_blocked"})
# Where another server is the cure.
SERVER_CAUSES = frozenset(
    {
        "dns_host_not_found",
        "connection_refused",
        "connection_timeout_or_blocked_port",
        "greeting_timeout",
        "relay_denied_auth_required",
        "tls_hostname_mismatch",
        "tls_wrong_mode_for_port",
    }
)
# What can be done about a cause, the likeliest first; everything else: try again, another server, a person.
NEXT_STEPS: dict[str, tuple[str, ...]] = {
    "smtp_auth_disabled_tenant_or_mailbox": ("forward", "retry", "person"),
    "account_locked_or_web_login_required": ("retry", "forward", "person"),
    "imap_disabled": ("retry", "forward", "person"),
    "sender_not_allowed": ("forward", "address", "person"),
    "relay_denied_auth_required": ("server", "forward", "person"),
    "tls_certificate_invalid": ("forward", "server", "person"),
    "tls_hostname_mismatch": ("server", "forward", "person"),
    "tls_protocol_too_old": ("forward", "server", "person"),
    "dns_host_not_found": ("server", "retry", "person"),
    "rate_limited": ("retry", "person"),
    "daily_quota_exceeded": ("retry", "person"),
    "greylisted": ("retry", "person"),
}


def next_steps(cause: str, better: Server | None) -> tuple[str, ...]:
    """What the person is offered after a failure; three at most fit under a message as buttons."""
    steps = NEXT_STEPS.get(cause, ("retry", "server", "person"))
    return ("better", steps[0], "person") if better is not None else steps


def next_steps_of(
    cause: str, better: Server | None, account: Account, signed_in: str, offered: SignInProvider | str
) -> tuple[str, ...]:
    """The same where people sign in: a sign-in holds at its own provider only, so that another server is no way.

    `signed_in`, `offered`: through whom this person did, or could. Microsoft has a way round what is switched off.
    """
    if cause == SWITCHED_OFF and "microsoft" in {signed_in, offered} and account.transport == "smtp":
        return "graph", "forward", "person"
    steps = next_steps(cause, None if signed_in else better)
    return tuple(one for one in steps if one != "server") if signed_in else steps


def to_forward(cause: str, addresses: str, host: str = "", url: str = "") -> list[Say]:
    """Words for whoever can change it, with all that they need for exactly these addresses (commas between them)."""
    if cause == CONSENT:
        return [Say(f"forward.{CONSENT}", {"url": url}) if url else Say("forward.sign_in_allowed")]
    said = [Say(f"forward.{cause}", {"address": Code(in_pieces(addresses)[0]), "host": Code(host) if host else ""})]
    return [*said, *in_powershell(addresses.split(", "))] if cause == SWITCHED_OFF else said


def in_pieces(addresses: str) -> list[str]:
    """Addresses with commas between them, so that none is cut where they are shown."""
    pieces = [""]
    for one in addresses.split(", "):
        longer = f"{pieces[-1]}, {one}" if pieces[-1] else one
        if len(longer) > MAX_CODE and pieces[-1]:
            pieces.append(one)
        else:
            pieces[-1] = longer
    return pieces


def in_powershell(addresses: Sequence[str]) -> list[Say]:
    """The lines that switch sending on for these addresses, and the one that shows what became of it."""
    lines = switching_on(addresses)
    if not lines:
        return []
    first, *more = (_line(one) for one in lines)
    said = [Say("admin.switch_on", {"line": first}), *(Say("admin.line", {"line": one}) for one in more)]
    return [*said, Say("admin.check", {"line": _line(reading_back(addresses))})]


def _line(text: str) -> Code | str:
    """A line is never cut: it would be another command."""
    return Code(text) if len(text) <= MAX_CODE else text
