"""What is wrong about a certificate, and the name under which the same server can prove who it is.

A small hoster's customer often types `mail.theirdomain.com`, while the server's certificate is the hoster's own. The
names are read by a second handshake in which nothing is said (no AUTH, inside TLS not one byte). It is the only
place where a certificate is looked at without being verified: what it says is a guess, until a handshake of the usual,
verified kind with that name has passed on the very same address.
"""

import smtplib
import ssl
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from cryptography import x509

from bot.mail.knowledge.provider import Server
from bot.mail.wire.guard import BadHost, Endpoint, GuardError, ascii_host
from bot.mail.wire.smtp import Deadline, Network, Session, Track, open_session, wrapped

Detail = Literal["self_signed", "expired", "untrusted", "not_yet_valid", ""]

# X509_V_ERR_*, https://docs.openssl.org/3.0/man3/X509_STORE_CTX_get_error/
_DETAILS: dict[int, Detail] = {
    2: "untrusted",  # the issuer is not known
    9: "not_yet_valid",
    10: "expired",
    18: "self_signed",
    19: "untrusted",  # an authority of their own, which they sent along
    20: "untrusted",
    21: "untrusted",  # a chain that cannot be built: an intermediate is missing
}
_UNREADABLE = (
    ValueError,
    x509.ExtensionNotFound,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    x509.InvalidVersion,
)
_NAME_FAULTS = frozenset({62, 64})  # host name, IP address
_READY = 220
_MAX_NAMES = 100
_MAX_TRIED = 3
_SECONDS = 10.0
_MAIL_LABELS = ("smtp", "mail", "email", "mx", "smtps", "submission", "correio", "correo")


def detail(error: Exception) -> Detail:
    """What is wrong about the certificate itself; empty where the error is another one."""
    return _DETAILS.get(error.verify_code, "") if isinstance(error, ssl.SSLCertVerificationError) else ""


def names_another(error: Exception) -> bool:
    """Whether the certificate is for another name or address than the one asked for."""
    return isinstance(error, ssl.SSLCertVerificationError) and error.verify_code in _NAME_FAULTS


def better_host(server: Server, address: str, network: Network, deadline: Deadline) -> str | None:
    """The host name that proves itself where `server` did not, on the same `address` and port; None without one.

    A concrete name of the certificate, none with a wildcard, that resolves to `address` and passes a whole verified
    greeting. At most three are tried, within ten seconds and before `deadline` (a look-up that has begun may take the
    guard's own limit longer). Sends no secret, and raises nothing that a server or a network could cause.
    """
    try:
        limit = deadline.within(_SECONDS)
        names = _candidates(_shown(server, address, network, limit), server.host)
        return next((name for name in names[:_MAX_TRIED] if _proves(name, server, address, network, limit)), None)
    except (OSError, GuardError):
        return None


def names_in(der: bytes) -> tuple[str, ...]:
    """The DNS names of a certificate (RFC 6125: only of subjectAltName), at most 100; none where it is unreadable."""
    try:
        names = x509.load_der_x509_certificate(der).extensions.get_extension_for_class(x509.SubjectAlternativeName)
        return tuple(names.value.get_values_for_type(x509.DNSName)[:_MAX_NAMES])
    except _UNREADABLE:
        return ()


def _candidates(der: bytes, typed: str) -> list[str]:
    """Names worth trying: those beside the typed one first, then those that sound like mail."""
    beside = "." + typed.partition(".")[2]
    names = dict.fromkeys(name for name in _concrete(names_in(der)) if name != ascii_host(typed))
    return sorted(names, key=lambda name: (not name.endswith(beside), name.partition(".")[0] not in _MAIL_LABELS))


def _concrete(names: tuple[str, ...]) -> Iterator[str]:
    """Full host names: what a wildcard stands for is not known, and a single label or an address is no name."""
    for name in names:
        try:
            host = ascii_host(name)
        except BadHost:  # wildcards among them
            continue
        if "." in host and ":" not in host and not host.rpartition(".")[2].isdigit():
            yield host


def _shown(server: Server, address: str, network: Network, deadline: Deadline) -> bytes:
    """The certificate (DER) that the server shows for the typed name."""
    times = network.timeouts
    endpoint = Endpoint(ascii_host(server.host), address)
    sock = network.guard.connect((endpoint,), server.port, deadline.within(times.connect).remaining())
    try:
        if server.security == "starttls":
            session = Session(sock, endpoint.host, server.port, network, deadline)
            session.patience = times.command
            session.ehlo()
            code, reply = session.docmd("STARTTLS")
            if code != _READY:
                raise smtplib.SMTPResponseException(code, reply)
        sock = looking = wrapped(sock, endpoint.host, _only_looking(), deadline.within(times.tls).remaining())
        return looking.getpeercert(binary_form=True) or b""
    finally:
        sock.close()


def _only_looking() -> ssl.SSLContext:
    """A context that takes any certificate: for reading names, and for nothing else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _proves(name: str, server: Server, address: str, network: Network, deadline: Deadline) -> bool:
    """Whether the name leads to the same address and is proved there. Raises TimeoutError at the deadline."""
    deadline.remaining()
    try:
        endpoints = [endpoint for endpoint in network.guard.resolve(name) if endpoint.address == address]
        if not endpoints:
            return False
        session = open_session(replace(server, host=name), tuple(endpoints[:1]), network, deadline, Track())
    except (OSError, GuardError):
        return False
    session.leave(network.timeouts.leave)
    return True
