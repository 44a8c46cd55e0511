"""From a reply or an exception to a cause, who can act, and whether waiting helps."""

# ruff: noqa: E501 - tables of replies, one a line

import smtplib
import socket
import ssl
from pathlib import Path

import pytest

from bot.mail.knowledge import explain as module
from bot.mail.knowledge import tables
from bot.mail.knowledge.clues import families, family_named, stage_named
from bot.mail.knowledge.explain import Failure, causes, explain
from bot.mail.knowledge.pasted import plain
from bot.mail.knowledge.providers import Providers

NAMES = [
    "wrong_credentials",
    "app_password_required",
    "less_secure_blocked",
    "oauth_required_basic_auth_disabled",
    "smtp_auth_disabled_tenant_or_mailbox",
    "account_locked_or_web_login_required",
    "imap_disabled",
    "sender_not_allowed",
    "recipient_rejected",
    "relay_denied_auth_required",
    "tls_certificate_invalid",
    "tls_hostname_mismatch",
    "tls_wrong_mode_for_port",
    "tls_protocol_too_old",
    "dns_host_not_found",
    "connection_refused",
    "connection_timeout_or_blocked_port",
    "greeting_timeout",
    "connection_dropped",
    "rate_limited",
    "daily_quota_exceeded",
    "message_too_large",
    "content_rejected_spam_policy",
    "greylisted",
    "mailbox_full",
    "spf_dkim_dmarc_reject",
    "ip_blocklisted",
    "server_temporary_failure",
]
GROUPS = tables.read(Path(module.__file__).with_name("replies.yaml").read_bytes())["groups"]
RULES = [{"family": group.get("family"), **rule} for group in GROUPS for rule in group["rules"]]
REPLIES = tables.read(Path(__file__).with_name("data").joinpath("reply_causes.yaml").read_bytes())["replies"]
CONDITIONS = ("match", "also", "without", "near", "stage", "enhanced", "code", "family", "only", "last")


def listed(value):
    return [value] if isinstance(value, str) else value or []


def test_the_list_of_causes_is_closed():
    assert list(causes()) == NAMES


def test_every_rule_names_a_known_cause_and_a_known_family():
    known = families() | {row.family for row in Providers.load()._rows.values()}
    assert {rule["cause"] for rule in RULES} <= set(NAMES)
    assert {rule["family"] for rule in RULES if rule["family"]} <= known


def test_a_provider_is_known_by_its_id_where_its_family_has_rules():
    with_rules = {rule["family"] for rule in RULES if rule["family"]}
    rows = [row for row in Providers.load()._rows.values() if row.family in with_rules]
    assert len(rows) > 10
    assert {row.id: family_named(row.id) for row in rows} == {row.id: row.family for row in rows}


def test_every_group_of_rules_names_its_source():
    assert all(len(group["source"]) > 10 for group in GROUPS)


def test_the_words_of_rules_are_written_as_texts_are_read():
    words = [word for rule in RULES for name in ("match", "also", "without") for word in listed(rule.get(name))]
    assert [word for word in words if word != plain(word)] == []


def test_no_word_of_a_rule_says_again_what_another_of_it_says():
    for rule in RULES:
        words = listed(rule.get("match"))
        assert [(one, two) for one in words for two in words if one is not two and one in two] == []


def test_no_rule_stands_twice():
    keys = [str([rule.get(name) for name in CONDITIONS]) for rule in RULES]
    assert len(keys) == len(set(keys))


def test_nearness_is_asked_only_between_two_lists_of_words():
    near = [rule for rule in RULES if "near" in rule]
    assert len(near) > 5
    assert all(rule.get("match") and rule.get("also") and 10 <= rule["near"] <= 100 for rule in near)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("A senha informada para a conta está incorreta", "wrong_credentials"),
        ("A senha está certa, já entrei no site com ela hoje. O erro é este: o certificado é inválido", "tls_certificate_invalid"),
        ("Die Verbindung wurde vom Server geschlossen", "connection_dropped"),
        ("Meine Verbindung ist gut und alles andere geht auch. Gemeldet wird: Zertifikat abgelaufen", "tls_certificate_invalid"),
    ],
)  # fmt: skip
def test_a_word_of_one_sentence_says_nothing_with_a_word_of_another(text, cause):
    assert explain(Failure(None, text)).cause == cause


def test_each_of_the_known_replies_has_a_cause_of_its_own():
    assert len(REPLIES) == 273
    assert len({reply["id"] for reply in REPLIES}) == 273


@pytest.mark.parametrize("reply", REPLIES, ids=lambda reply: reply["id"])
def test_a_known_reply_has_the_cause_that_its_diagnosis_implies(reply):
    stage, text, code = stage_named(reply["stage"]), reply["text"], reply.get("code")
    found = explain(Failure(stage, text, code, family_named(reply["provider"])))
    assert found.cause == reply["cause"]
    assert found.who == reply.get("who", found.who)
    unknown = explain(Failure(stage, text, code, None))
    assert unknown.cause == reply.get("without_provider", reply["cause"])


@pytest.mark.parametrize(
    ("text", "who"),
    [
        ("AADSTS90094: The grant requires administrator permission.", "agency_admin"),
        ("AADSTS53003: Access has been blocked by Conditional Access policies.", "agency_admin"),
        ("Error 400: admin_policy_enforced", "agency_admin"),
        ("AADSTS650056: Misconfigured application.", "us"),
        ("AADSTS7000215: Invalid client secret provided.", "us"),
        ("Error 400: redirect_uri_mismatch", "us"),
        ("Error 403: access_denied - the app is being tested", "us"),
        ('{"error": "invalid_grant", "error_description": "Token has been expired or revoked."}', "user"),
    ],
)
def test_a_consent_that_fails_names_who_can_mend_it(text, who):
    found = explain(Failure("oauth", text))
    assert found.who == who
    assert found.blames_secret == (who == "user")


@pytest.mark.parametrize(
    ("family", "stage", "code", "reply", "cause", "who", "retry"),
    [
        ("google", "auth", 535, b"5.7.8 Username and Password not accepted. For more information, go to\n5.7.8 https://support.google.com/mail/?p=BadCredentials - gsmtp", "app_password_required", "user", False),
        (None, "auth", 535, b"5.7.8 https://support.google.com/mail/?p=BadCredentials - gsmtp", "app_password_required", "user", False),
        ("google", "auth", 534, b"5.7.9 Application-specific password required. p=InvalidSecondFactor", "app_password_required", "user", False),
        ("google", "auth", 534, b"5.7.14 <https://accounts.google.com/signin/continue?sarp=1> Please log in via your web\n5.7.14 browser and then try again.", "account_locked_or_web_login_required", "user", False),
        ("google", "auth", 454, b"4.7.0 Too many login attempts, please try again later.", "rate_limited", "wait", True),
        ("google", "mail_from", 550, b"5.4.5 Daily user sending limit exceeded.", "daily_quota_exceeded", "wait", True),
        ("microsoft", "auth", 535, b"5.7.139 Authentication unsuccessful, basic authentication is disabled. [X.PROD.OUTLOOK.COM]", "oauth_required_basic_auth_disabled", "user", False),
        ("microsoft", "auth", 535, b"5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.", "smtp_auth_disabled_tenant_or_mailbox", "agency_admin", False),
        ("microsoft", "auth", 535, b"5.7.139 Authentication unsuccessful, the user credentials were incorrect.", "wrong_credentials", "user", False),
        ("microsoft", "auth", 550, b"5.7.30 Basic authentication is not supported for Client Submission.", "oauth_required_basic_auth_disabled", "user", False),
        ("microsoft", "post_data", 554, b"5.2.252 SendAsDenied; a@b not allowed to send as c@d", "sender_not_allowed", "agency_admin", False),
        ("yahoo", "auth", 535, b"5.7.0 (#AUTH005) Too many bad auth attempts.", "app_password_required", "user", False),
        ("yahoo", "mail_from", 450, b"Requested action not taken: mailbox unavailable", "sender_not_allowed", "user", False),
        ("apple", "auth", 535, b"5.7.8 Error: authentication failed", "app_password_required", "user", False),
        ("united_internet", "auth", 535, b"Authentication credentials invalid", "wrong_credentials", "user", False),
        ("zoho", "post_data", 553, b"Relaying disallowed as a@b.com", "sender_not_allowed", "user", False),
        ("mailru", "auth", 535, b"5.7.0 NEOBHODIM parol prilozheniya / Application password is REQUIRED", "app_password_required", "user", False),
        ("locaweb", "auth", 535, b"5.7.8 Error: authentication failed: UGFzc3dvcmQ6", "wrong_credentials", "user", False),
        (None, "auth", 535, b"Incorrect authentication data", "wrong_credentials", "user", False),
        (None, "auth", 535, b"nobody has ever written this", "wrong_credentials", "user", False),
        (None, "auth", 454, b"nobody has ever written this", "server_temporary_failure", "wait", True),
        (None, "auth", 454, b"4.7.0 Temporary authentication failure: Connection lost", "server_temporary_failure", "wait", True),
        (None, "auth", 503, b"5.5.1 Error: authentication not enabled", "relay_denied_auth_required", "user", False),
        (None, "auth", 525, b"5.7.13 User account disabled", "account_locked_or_web_login_required", "agency_admin", False),
        (None, "mail_from", 553, b"5.7.1 <a@b>: Sender address rejected: not owned by user c", "sender_not_allowed", "user", False),
        (None, "rcpt_to", 450, b"4.2.0 <a@b>: Recipient address rejected: Greylisted, see postgrey", "greylisted", "wait", True),
        (None, "rcpt_to", 550, b"5.1.1 <a@b>: Recipient address rejected: User unknown in virtual table", "recipient_rejected", "user", False),
        (None, "rcpt_to", 554, b"5.7.1 <a@b>: Relay access denied", "relay_denied_auth_required", "user", False),
        (None, "post_data", 552, b"5.3.4 Message size exceeds fixed limit", "message_too_large", "user", False),
        (None, "post_data", 521, b"5.5.2 mail.example Error: bare <LF> received", "content_rejected_spam_policy", "us", False),
        (None, "greeting", 554, b"5.7.1 Service unavailable; client blocked using zen.spamhaus.org", "ip_blocklisted", "us", False),
        (None, "greeting", 554, b"no", "ip_blocklisted", "us", False),
        (None, "greeting", 421, b"too busy", "rate_limited", "wait", True),
        (None, "data", 451, b"later", "server_temporary_failure", "wait", True),
        (None, "auth", -1, b"garbage", "connection_dropped", "provider", True),
    ],
)  # fmt: skip
def test_a_reply_has_its_cause(family, stage, code, reply, cause, who, retry):
    found = explain(Failure.of_reply(code, reply, stage, family))
    assert (found.cause, found.who, found.retry) == (cause, who, retry)


def verification_error(text):
    return ssl.SSLCertVerificationError(1, f"[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: {text}")


@pytest.mark.parametrize(
    ("stage", "error", "cause", "who"),
    [
        ("connect", ConnectionRefusedError(111, "Connection refused"), "connection_refused", "user"),
        ("connect", TimeoutError("timed out"), "connection_timeout_or_blocked_port", "us"),
        ("connect", OSError(101, "Network is unreachable"), "connection_timeout_or_blocked_port", "us"),
        ("connect", OSError(113, "No route to host"), "connection_timeout_or_blocked_port", "provider"),
        ("dns", socket.gaierror(-2, "Name or service not known"), "dns_host_not_found", "user"),
        ("dns", socket.gaierror(-3, "Temporary failure in name resolution"), "dns_host_not_found", "us"),
        ("tls", ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"), "tls_wrong_mode_for_port", "us"),
        ("tls", ssl.SSLError(1, "[SSL: UNSUPPORTED_PROTOCOL] unsupported protocol"), "tls_protocol_too_old", "provider"),
        ("tls", verification_error("certificate has expired"), "tls_certificate_invalid", "provider"),
        ("tls", verification_error("self-signed certificate"), "tls_certificate_invalid", "provider"),
        ("tls", verification_error("self-signed certificate in certificate chain"), "tls_certificate_invalid", "us"),
        ("tls", verification_error("Hostname mismatch, certificate is not valid for 'x'"), "tls_hostname_mismatch", "user"),
        ("tls", TimeoutError("_ssl.c:990: The handshake operation timed out"), "greeting_timeout", "us"),
        ("greeting", TimeoutError("timed out"), "greeting_timeout", "us"),
        ("greeting", smtplib.SMTPServerDisconnected("Connection unexpectedly closed"), "connection_dropped", "provider"),
        ("greeting", smtplib.SMTPConnectError(554, b"go away"), "ip_blocklisted", "us"),
        ("auth", ConnectionResetError(104, "Connection reset by peer"), "connection_dropped", "provider"),
        ("auth", TimeoutError("timed out"), "connection_dropped", "provider"),
        ("auth", smtplib.SMTPNotSupportedError("No suitable authentication method found."), "oauth_required_basic_auth_disabled", "user"),
        ("starttls", smtplib.SMTPNotSupportedError("STARTTLS extension not supported by server."), "tls_wrong_mode_for_port", "user"),
        ("auth", smtplib.SMTPAuthenticationError(535, b"5.7.8 bad"), "wrong_credentials", "user"),
        ("mail_from", smtplib.SMTPRecipientsRefused({"b@y": (550, b"5.7.1 Relaying denied")}), "relay_denied_auth_required", "user"),
        ("mail_from", smtplib.SMTPSenderRefused(552, b"5.3.4 Message size exceeds fixed limit", "a@x"), "message_too_large", "user"),
    ],
)  # fmt: skip
def test_an_exception_has_its_cause(stage, error, cause, who):
    found = explain(Failure.of(error, stage))
    assert (found.cause, found.who) == (cause, who)


def test_an_exception_is_read_with_what_it_was_raised_from():
    error = RuntimeError("the library gave up")
    error.__cause__ = ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number")
    assert explain(Failure.of(error, "tls")).cause == "tls_wrong_mode_for_port"


def test_the_providers_own_rule_comes_before_the_general_one():
    reply = (535, b"5.7.8 Error: authentication failed", "auth")
    assert explain(Failure.of_reply(*reply, "apple")).cause == "app_password_required"
    assert explain(Failure.of_reply(*reply, "hostinger")).cause == "wrong_credentials"


def test_a_secret_is_blamed_only_where_it_is_the_fault():
    blamed = {name for name, cause in causes().items() if cause.blames_secret}
    assert blamed == {
        "wrong_credentials", "app_password_required", "less_secure_blocked", "oauth_required_basic_auth_disabled"
    }  # fmt: skip


def test_the_lines_of_a_reply_are_joined_before_they_are_read():
    reply = (
        "535-5.7.139 Authentication unsuccessful, SmtpClientAuthentication\r\n535 5.7.139 is disabled for the Mailbox."
    )
    assert explain(Failure(None, reply)).cause == "smtp_auth_disabled_tenant_or_mailbox"


@pytest.mark.parametrize("text", ["", "\0\n\r", "x" * 1_000_000, "535", "\n535-\n535 "])
def test_any_text_gets_some_cause(text):
    assert explain(Failure(None, text)).cause in NAMES
