"""What can be done about a failure: which causes another secret or server cures, and what a person is offered next."""

from flows.words import Server

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
