"""`make talk`: the conversation in a terminal, recorded and played again."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bot.playground.mail import MAILBOXES

pytestmark = pytest.mark.processes

HOME = Path(__file__).parents[1]


def talk(tmp_path, *arguments, typed=""):
    command = [sys.executable, "-m", "bot", "talk", *arguments]
    environment = {"DATA_DIR": str(tmp_path / "var"), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    return subprocess.run(
        command, input=typed, env=environment, cwd=HOME, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_recorded_talk_is_a_play_that_goes_as_it_is_written(tmp_path):
    play = tmp_path / "recorded.txt"
    password = MAILBOXES["ana@sandbox.test"]
    first = talk(tmp_path, typed="oi\n")
    invitation = re.search(r"Olá! .* convite é [\w-]+\.", first.stdout)[0]
    typed = f"{invitation}\nana@sandbox.test\n{password}\n1\n/quit\n"
    second = talk(tmp_path, "--record", str(play), typed=typed)
    assert (second.returncode, second.stderr) == (0, ""), "the terminal is for the talk, not for a log"
    assert "Funciona!" in second.stdout
    assert password not in play.read_text(encoding="utf-8")
    assert "{right password}" in play.read_text(encoding="utf-8")


def test_a_script_that_goes_otherwise_is_told_and_fails(tmp_path):
    script = tmp_path / "play.txt"
    script.write_text("people: Ana +15550000001\nAna: hi\n    bot: something else\n", encoding="utf-8")
    answer = talk(tmp_path, "--script", str(script))
    assert answer.returncode == 1
    assert "does not go as it is written" in answer.stderr
    script.write_text(answer.stdout, encoding="utf-8")
    assert talk(tmp_path, "--script", str(script)).returncode == 0


def test_a_line_that_no_play_can_hold_is_told_in_one_sentence(tmp_path):
    script = tmp_path / "play.txt"
    script.write_text("and then the sun rose\n", encoding="utf-8")
    answer = talk(tmp_path, "--script", str(script))
    assert (answer.returncode, answer.stderr.count("\n")) == (1, 1)
    assert "and then the sun rose" in answer.stderr
