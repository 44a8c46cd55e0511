"""One form for every address, and a reason for what is none."""

import pytest

from bot.mail.wire.addresses import BadAddress, normalise


@pytest.mark.parametrize(
    ("typed", "address"),
    [
        ("ana@agency.com", "ana@agency.com"),
        ("  Ana.Silva@AGENCY.com\n", "Ana.Silva@agency.com"),
        ("<ana@agency.com>", "ana@agency.com"),
        ("mailto:ana@agency.com", "ana@agency.com"),
        ("<mailto:ana@agency.com>", "ana@agency.com"),
        ("ana@agência.com.br", "ana@xn--agncia-jva.com.br"),
        ("ana+ally@agency.com", "ana+ally@agency.com"),
        ("ana@agency.test", "ana@agency.test"),
    ],
)
def test_an_address_gets_its_one_form(typed, address):
    assert normalise(typed) == address


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ("", "empty"),
        (" \n ", "empty"),
        ("ana", "malformed"),
        ("ana@", "malformed"),
        ("@agency.com", "malformed"),
        ("ana@agency", "malformed"),
        ("ana@@agency.com", "malformed"),
        ("ana silva@agency.com", "malformed"),
        ('"ana silva"@agency.com', "malformed"),
        ("Ana <ana@agency.com>", "malformed"),
        ("ana@[127.0.0.1]", "malformed"),
        ("ana@localhost", "malformed"),
        ("ana@a..b.com", "malformed"),
        ("a@x>\r\nRCPT TO:<evil@x.com", "line_break"),
        ("ana@agency.com\r\nBcc: evil@x.com", "line_break"),
        ("ana@agency.com\x00", "malformed"),
        ("ana@agency.com,bia@agency.com", "malformed"),
        ("a" * 65 + "@agency.com", "malformed"),
        ("a@" + "b" * 400 + ".com", "too_long"),
        ("joão@agency.com", "local_part_not_ascii"),
        ("😀@agency.com", "local_part_not_ascii"),
    ],
)
def test_what_is_no_address_is_refused_with_a_reason(typed, reason):
    with pytest.raises(BadAddress) as caught:
        normalise(typed)
    assert caught.value.reason == reason
    assert str(caught.value) == reason
