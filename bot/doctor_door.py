"""What `doctor` looks at of the door: it knocks there by its name, as Ally does, and does not sign in."""

import ipaddress
import smtplib
import ssl
from typing import cast

from bot.app import Parts
from bot.findings import Finding

PATIENCE = 10.0  # seconds
FEW_DAYS = 14
MECHANISM = "PLAIN"  # what Ally's form signs in with


def door(parts: Parts) -> Finding | None:
    """Whether who comes by the door's name meets our certificate and can sign in, and how long that is good."""
    host, port = parts.settings.door_host, parts.settings.door_port
    if not host:
        return None
    name, network = f"the door, {host}:{port}", parts.tools.network
    try:
        with smtplib.SMTP_SSL(host, port, network.local_hostname, timeout=PATIENCE, context=network.context) as guest:
            guest.ehlo()
            mechanisms = guest.esmtp_features.get("auth", "").split()
            where, days = _met(guest, parts)
    except ssl.SSLCertVerificationError as wrong:
        todo = "DOOR_CERT has to be for DOOR_HOST, with its chain, from an authority that everybody knows."
        return Finding(name, "failed", f"Its certificate is not believed ({wrong.verify_message}).", todo)
    except (smtplib.SMTPException, OSError, ValueError) as failure:
        todo = "Does the name lead here, is the port open, does `python -m bot door` run, with no TLS front before it?"
        return Finding(name, "failed", f"Nobody gets in ({type(failure).__name__}).", todo)
    if MECHANISM not in mechanisms:
        return Finding(name, "failed", "Nobody can sign in there: it is another server.", "Look at DOOR_PORT.")
    if days < FEW_DAYS:
        return Finding(
            name, "warning", f"Its certificate ends in {days} days.", "Renew it; the door takes it by itself."
        )
    if not _is_for_all(where):
        return Finding(
            name, "warning", f"The name leads to {where}, from here.", "Nobody outside can reach that address."
        )
    return Finding(name, "ok", f"It is open at {where}; its certificate is good for {days} days.")


def _met(guest: smtplib.SMTP_SSL, parts: Parts) -> tuple[str, int]:
    """The address that answered, and for how many days its certificate is good."""
    sock = cast("ssl.SSLSocket", guest.sock)
    ends = ssl.cert_time_to_seconds(str((sock.getpeercert() or {}).get("notAfter")))
    return str(sock.getpeername()[0]), int((ends - parts.clock.now().timestamp()) // 86400)


def _is_for_all(address: str) -> bool:
    """Whether an address is one that the whole internet can reach."""
    return ipaddress.ip_address(address).is_global
