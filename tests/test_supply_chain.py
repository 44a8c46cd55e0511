"""What we are made of: pinned, licensed so that we may use it, listed; and nothing in the repository opens a door."""

import base64
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sbom import DEPLOY, bill, licence, locked

ROOT = Path(__file__).parent.parent
LOCKS = sorted(DEPLOY.glob("requirements*.lock"))
# Free to use in a program under MIT: MPL-2.0 and LGPL-3.0 bind changes of those files and of that library only.
ALLOWED = frozenset({
    "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "LGPL-3.0-only", "MIT", "MIT-0", "MPL-2.0",
    "PSF-2.0", "Unlicense", "Zlib",
})  # fmt: skip


def may_be_used(expression):
    """Whether a licence, or one of several to choose from, is allowed; all of those that hold together are."""
    choices = [re.split(r"\s+AND\s+", choice) for choice in re.split(r"\s+OR\s+", expression.strip())]
    return any(all(one.strip("() ") in ALLOWED for one in together) for together in choices)


# --- packages ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_every_package_is_pinned_with_hashes(lock):
    packages = locked(lock)
    written = [line for line in lock.read_text(encoding="utf-8").splitlines() if line and not line.startswith(" ")]
    assert len(packages) == len(written) > 50
    assert [one.name for one in packages if not one.hashes] == []


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_every_licence_is_one_that_we_allow(lock):
    licences = {one.name: licence(one.name) for one in locked(lock)}
    assert {name: said for name, said in licences.items() if not may_be_used(said)} == {}


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT", True), ("MIT AND PSF-2.0", True), ("AGPL-3.0-only OR MIT", True), ("MIT AND AGPL-3.0-only", False),
        ("GPL-3.0-or-later", False), ("", False),
    ],
)  # fmt: skip
def test_a_licence_that_is_not_allowed_would_be_found(expression, allowed):
    assert may_be_used(expression) is allowed


def test_the_bill_of_materials_names_every_part_with_version_and_licence():
    written = subprocess.run(
        [sys.executable, "-m", "tests.sbom"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    ).stdout
    told = json.loads(written)
    assert (told["bomFormat"], told["specVersion"]) == ("CycloneDX", "1.6")
    packages = locked(DEPLOY / "requirements.lock")
    assert [(one["name"], one["version"]) for one in told["components"]] == [
        (one.name, one.version) for one in packages
    ]
    assert all(one["licenses"] and one["purl"].startswith("pkg:pypi/") for one in told["components"])
    refs = [one["bom-ref"] for one in told["components"]]
    assert told["dependencies"] == [{"ref": "ours", "dependsOn": refs}]
    assert len(set(refs)) == len(refs)
    assert bill(DEPLOY / "requirements.lock") == told


# --- secrets in the repository ----------------------------------------------------------------------------------------

KINDS = re.compile(
    r"xox[abposr]-[0-9A-Za-z-]{10,}|xapp-[0-9A-Za-z-]{10,}"  # Slack
    r"|hooks\.slack\.com/services/[A-Z0-9]+/[A-Z0-9]+/\w+"
    r"|\b(?:AC|SK)[0-9a-f]{32}\b"  # Twilio
    r"|AIza[0-9A-Za-z_-]{35}|GOCSPX-[0-9A-Za-z_-]{20,}|ya29\.[0-9A-Za-z_-]{20,}"  # Google
    r"|AKIA[0-9A-Z]{16}|\bgh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,}|sk_live_[0-9A-Za-z]{10,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r"|eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}"  # a signed token
    r"|(?<![\w+/=])[A-Za-z0-9+/]{43}=(?![\w=])"  # a key of our own (SECRET_KEYS)
)
# Made up, each for an example that had to look like one.
MADE_UP = frozenset({
    "AC0a1b2c3d4e5f60718293a4b5c6d7e8f9",  # the account of tests/payloads
    "AC" + "a" * 32,  # of Twilio's own published description
    base64.b64encode(b"A" * 32).decode(),  # a key for alarms
    "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg",  # of Google's own documentation of XOAUTH2
})  # fmt: skip
NOT_OURS = {
    ".git",
    ".venv",
    "var",
    "node_modules",
    "__pycache__",
    ".hypothesis",
    ".ruff_cache",
    ".mypy_cache",
    ".pytest_cache",
}


def files():
    """Every file of the repository, but what is built or installed."""
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [one for one in folders if one not in NOT_OURS]
        yield from (Path(folder) / name for name in names)


def secrets_in(text):
    return set(KINDS.findall(text)) - MADE_UP


def test_no_secret_stands_in_the_repository():
    found = {}
    for path in files():
        if path.is_file() and (there := secrets_in(path.read_bytes().decode("latin-1"))):
            found[str(path.relative_to(ROOT))] = sorted(one[:8] for one in there)
    assert found == {}


@pytest.mark.parametrize(
    "secret",
    [
        "xox" + "b-1234567890-abcdefghij", "xap" + "p-1-A0-1234567890", "A" + "C" + "0" * 32, "AIz" + "a" + "x" * 35,
        "AKI" + "A" + "A" * 16, "gh" + "p_" + "a" * 36, "-----BEGIN RSA " + "PRIVATE KEY-----",
        "ey" + "J" + "a" * 12 + ".ey" + "J" + "b" * 12 + ".c", "A" * 20 + "b" * 23 + "=",
    ],
)  # fmt: skip
def test_a_secret_in_a_file_would_be_found(secret):
    assert secrets_in(f"KEY = '{secret}'\n")


def test_what_is_made_up_is_still_needed():
    """Whoever takes an example away takes it from the list, too."""
    everything = "".join(
        path.read_bytes().decode("latin-1") for path in files() if path.suffix in {".txt", ".py", ".json"}
    )
    assert [one for one in MADE_UP if one not in everything] == []
