"""Stories: plays in plain text that must go as they are written. `--update` writes them anew, to be read."""

from pathlib import Path

import pytest

from bot.playground.plays import BadPlay, Play

STORIES = sorted((Path(__file__).parent / "stories").glob("*.txt"))


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_the_story_goes_as_it_is_written(path, tmp_path, database_url, request):
    before = path.read_text(encoding="utf-8")
    play = Play(tmp_path, database_url)
    with play.theatre:
        after = play.play(before)
    if request.config.getoption("--update"):
        path.write_text(after, encoding="utf-8")
    else:
        assert after == before


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("Nobody says hello", "cannot be understood"),
        ("Zoe: hello", "Nobody is called Zoe"),
        ("Ana taps: 3", "no button 3"),
        ("Ana's page: right password", "link is closed"),
        ("Ana gets the file", "link gives no file"),
        ("(inbox of bruno@sandbox.test: nothing)", "no mail with the subject"),
    ],
)
def test_a_play_that_cannot_go_says_where(line, why, tmp_path, database_url):
    play = Play(tmp_path, database_url)
    with play.theatre, pytest.raises(BadPlay, match=why):
        play.play(f"people: Ana +15550000001\n{line}\n")
