"""In which language a page speaks to somebody of whom nothing is known."""

from flask import request

from flows.words import LANGUAGES, Language


def browser_language() -> Language:
    """The language that the browser asks for: a page without a link must not depend on the link."""
    wanted = [tag.lower().partition("-")[0] for tag in request.accept_languages.values()]  # best first
    return next((language for tag in wanted for language in LANGUAGES if language == tag), LANGUAGES[0])
