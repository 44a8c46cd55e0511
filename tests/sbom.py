"""`make sbom`: the parts of an installation as CycloneDX JSON, from its lock file and from what packages say.

`python -m tests.sbom [LOCK]` prints the one of `deploy/requirements.lock`, or of another lock file. The same lock file
gives the same bytes.
"""

import json
import re
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

DEPLOY = Path(__file__).parent.parent / "deploy"
PINNED = re.compile(
    r"^([A-Za-z0-9._-]+)==([^\s;\\]+)(?: ; ([^\\\n]+?))? \\?$((?:\n    --hash=sha256:[0-9a-f]{64}(?: \\)?)*)",
    re.MULTILINE,
)
# What packages say of their licence in words of their own, or nowhere but in a file that lies in them.
SPDX = {
    "Apache 2.0": "Apache-2.0", "MIT license": "MIT",
    "OSI Approved :: MIT License": "MIT", "OSI Approved :: BSD License": "BSD-3-Clause",
    "OSI Approved :: Apache Software License": "Apache-2.0",
    "OSI Approved :: Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}  # fmt: skip
READ_BY_HAND = {"imapclient": "BSD-3-Clause", "tzdata": "Apache-2.0", "colorama": "BSD-3-Clause"}
LONGEST_ID = 60  # characters; what is longer is the licence itself


@dataclass(frozen=True, slots=True)
class Package:
    """One pinned package: name, version, for which machines (empty: all), how many hashes."""

    name: str
    version: str
    marker: str
    hashes: int


def locked(path: Path) -> list[Package]:
    """The packages of a lock file."""
    found = PINNED.findall(path.read_text(encoding="utf-8"))
    return [Package(name, version, marker, hashes.count("--hash")) for name, version, marker, hashes in found]


def licence(name: str) -> str:
    """The licence of a package as an SPDX expression, as it says itself; empty where it does not say."""
    if name in READ_BY_HAND:
        return READ_BY_HAND[name]
    try:
        said = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return ""
    return next((SPDX.get(words, words) for words in _said(said) if words), "")


def _said(about: metadata.PackageMetadata) -> Iterator[str]:
    """In the order in which it is believed."""
    yield about.get("License-Expression") or ""
    short = about.get("License") or ""
    yield short if len(short) < LONGEST_ID and "Copyright" not in short else ""
    classes = [
        one.removeprefix("License :: ") for one in about.get_all("Classifier") or [] if one.startswith("License")
    ]
    yield next((one for one in reversed(classes) if one in SPDX), "")


def bill(path: Path) -> dict[str, Any]:
    """The bill of materials of a lock file: https://cyclonedx.org/docs/1.6/json/."""
    components = [_component(package) for package in locked(path)]
    contents = json.dumps(components, sort_keys=True)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, contents)}",
        "version": 1,
        "metadata": {"component": {"type": "application", "name": "ally-mail-assistant", "bom-ref": "ours"}},
        "components": components,
        "dependencies": [{"ref": "ours", "dependsOn": [one["bom-ref"] for one in components]}],
    }


def _component(package: Package) -> dict[str, Any]:
    purl = f"pkg:pypi/{package.name}@{package.version}"
    said = licence(package.name)
    about = {"type": "library", "bom-ref": purl, "name": package.name, "version": package.version, "purl": purl}
    return {**about, **({"licenses": [{"expression": said}]} if said else {})}


def main() -> None:
    """Print it."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else DEPLOY / "requirements.lock"
    print(json.dumps(bill(path), indent=2))  # noqa: T201 - for a pipe


if __name__ == "__main__":
    main()
