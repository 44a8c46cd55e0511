"""The lines that a Microsoft 365 administrator pastes into Exchange Online PowerShell, for exactly these addresses."""

from collections.abc import Iterator, Sequence

from flows.reading import address as read_address
from flows.speech import MAX_CODE

# PowerShell takes all of these for the single quote that ends a text; doubled, each stands for itself.
QUOTES = "'\u2018\u2019\u201a\u201b"
SWITCH = "SmtpClientAuthenticationDisabled"


def quoted(text: str) -> str:
    """A text in single quotes, in which PowerShell reads nothing but letters: no variable, no other command."""
    return "'" + "".join(2 * sign if sign in QUOTES else sign for sign in text) + "'"


def switching_on(addresses: Sequence[str]) -> tuple[str, ...]:
    """The lines that let these mailboxes send with a sign-in; what is no address is left out."""
    good = _good(addresses)
    if len(good) == 1:
        return (f"Set-CASMailbox -Identity {quoted(good[0])} -{SWITCH} $false",)
    return (
        (*_listed(good), f"$people | ForEach-Object {{ Set-CASMailbox -Identity $_ -{SWITCH} $false }}") if good else ()
    )


def reading_back(addresses: Sequence[str]) -> str:
    """The line that shows what became of it; for several it goes on from the lines above."""
    good = _good(addresses)
    if len(good) == 1:
        return f"Get-CASMailbox -Identity {quoted(good[0])} | Format-List {SWITCH}"
    return f"$people | ForEach-Object {{ Get-CASMailbox -Identity $_ | Format-List PrimarySmtpAddress, {SWITCH} }}"


def _good(addresses: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one for one in addresses if read_address(one) == one))


def _listed(addresses: Sequence[str]) -> Iterator[str]:
    """All of them in one variable, in lines that are never cut where they are shown."""
    line = ""
    for one in map(quoted, addresses):
        if line and len(f"{line}, {one}") > MAX_CODE:
            yield line
            line = ""
        begun = "$people += " if line == "" and one != quoted(addresses[0]) else "$people = "
        line = f"{line}, {one}" if line else f"{begun}{one}"
    yield line
