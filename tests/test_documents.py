"""What the documents say can be checked: settings, commands, files, and the story that the README tells."""

import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import CliRunner

from bot.__main__ import main
from bot.app import WEB_POOL
from bot.cli.programs import DOOR_POOL
from bot.handiwork import HOLD
from bot.settings import Settings
from flows.speech import texts

HOME = Path(__file__).parents[1]
README = HOME / "README.md"
DOCUMENTS = [HOME / "README.md", HOME / "deploy" / "RUNBOOK.md", *sorted((HOME / "docs").glob("*.md"))]


def test_the_example_names_every_setting_and_no_other():
    lines = (HOME / "deploy" / "env.example").read_text(encoding="utf-8").splitlines()
    named = [line.partition("=")[0] for line in lines if re.match(r"[A-Z_]+=", line)]
    assert sorted(named) == sorted(name.upper() for name in Settings.model_fields)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_that_a_document_names_is_there(document):
    words = document.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", words) if "://" not in link]
    paths = re.findall(r"`((?:flows|bot|tests|deploy|docs)/[\w./-]+)`", words)
    missing = [link for link in links if not (document.parent / link).exists()]
    assert missing + [path for path in paths if not (HOME / path).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_that_a_document_names_is_there(document):
    words = document.read_text(encoding="utf-8")
    for command in set(re.findall(r"python -m bot ([a-z-]+)", words)):
        answer = CliRunner().invoke(main, [command, "--help"])
        assert answer.exit_code == 0, f"{document.name}: {command}"


@pytest.mark.parametrize("target", ["run", "talk", "test", "check", "bench", "world"])
def test_make_knows_what_the_readme_promises(target):
    makefile = (HOME / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{target}:", makefile, re.MULTILINE)
    assert f"make {target}" in (HOME / "README.md").read_text(encoding="utf-8")


def test_the_readme_tells_the_conversation_as_it_is():
    readme = " ".join(re.sub(r"^> ?", "", (HOME / "README.md").read_text(encoding="utf-8"), flags=re.MULTILINE).split())
    english = texts("en")
    values = {"agency": "*Agência Sol*", "address": "ana@sandbox.test"}
    spoken = ("mailbox.address", "mailbox.testing", "mailbox.works", "proof.arrived", "copy.appended", "card.well_done")
    for name in spoken:
        assert english[name].format(**values) in readme
    assert english["mailbox.secret"].partition(" (it begins")[0].format(**values) in readme


def test_no_committed_text_names_a_package_index():
    for lock in (HOME / "deploy").glob("*.lock"):
        assert "://" not in lock.read_text(encoding="utf-8")


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-playground.lock", "requirements-test.lock"])
def test_setting_up_installs_what_the_lock_names_and_resolves_nothing_anew(lock):
    """A part of the lock that asks for another with an extra would else break the day after a newer release of it."""
    lines = (HOME / "deploy" / lock).read_text().splitlines()
    named = [line for line in lines if line and not line.startswith((" ", "#"))]
    assert len(named) > 20
    assert all("==" in line for line in named)
    assert " --no-deps " in (HOME / "deploy" / "setup").read_text()


def test_everything_that_an_installed_part_asks_for_is_in_the_lock():
    checked = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


SHOWN = re.findall(r"^```console\n\$ (.*?)\n(.*?)^```$", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_the_readme_shows_four_things_that_need_no_account():
    assert len(SHOWN) == 4


@pytest.mark.parametrize(("command", "output"), SHOWN, ids=[command[:40] for command, _ in SHOWN])
def test_what_the_readme_shows_is_what_the_command_says(command, output, tmp_path):
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    kept = {name: value for name, value in os.environ.items() if name.lower() not in Settings.model_fields}
    done = subprocess.run(
        ["sh", "-c", command], cwd=HOME, env={**kept, "PATH": path, "DATA_DIR": str(tmp_path / "var")},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout == output
    assert not (tmp_path / "var").exists()  # nothing was made for it


def _add_a_machine():
    runbook = (HOME / "deploy" / "RUNBOOK.md").read_text(encoding="utf-8")
    section = runbook.partition("## Add a machine\n")[2].partition("\n## ")[0]
    return re.findall(r"^\d+\. (.*(?:\n {3,}.*)*)", section, re.MULTILINE)


def test_the_runbook_adds_a_machine_in_ten_points_that_name_settings_which_there_are():
    points = _add_a_machine()
    assert len(points) == 10
    named = set(re.findall(r"`([A-Z][A-Z_]+)`", " ".join(points)))
    assert named >= {"DATABASE_URL", "SECRET_KEYS", "PUBLIC_URL", "DATA_DIR", "BROKER_URL", "DOOR_CERT"}
    assert named <= {name.upper() for name in Settings.model_fields}


def test_the_runbook_counts_connections_and_leases_of_a_machine_as_the_code_has_them():
    words, pool = " ".join(" ".join(_add_a_machine()).split()), 2 * WEB_POOL
    assert f"{pool} for a process of `web`, {pool + 1} for a `worker`, {2 * DOOR_POOL} for a `door`" in words
    assert f"work is done again after {HOLD.total_seconds():.0f} seconds" in words


def test_what_shows_that_a_new_machine_works_is_there():
    (point,) = (one for one in _add_a_machine() if one.startswith("It works"))
    pages = (HOME / "bot" / "web" / "pages.py").read_text(encoding="utf-8")
    assert {"/readyz", "ally_promises_due"} <= set(re.findall(r"[\w/]+", point))
    assert '"/readyz"' in pages
    assert '"ally_promises_due"' in pages
    assert 'EXCHANGE = "ally.wake"' in (HOME / "bot" / "broker.py").read_text(encoding="utf-8")


def test_the_bounds_of_input_are_those_in_the_code():
    rows = [line for line in (HOME / "docs" / "input.md").read_text(encoding="utf-8").splitlines() if "MAX_" in line]
    wrong, looked_at = [], 0
    for row in rows:
        _, _, _, most, _, where, _ = row.split("|")
        for module, name in re.findall(r"`([a-z_.]+)\.([A-Z_]+)`", where):
            looked_at += 1
            bound = getattr(import_module(module), name)
            if not re.search(rf"(?<![\d,]){bound:,}(?!\d|,\d)", most):
                wrong.append(f"{module}.{name} is {bound:,}")
    assert wrong == []
    assert looked_at > len(rows) > 20
