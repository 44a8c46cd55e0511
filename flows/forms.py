"""Questions that only collect: an ordered tuple of fields that one state serves, one by one or all at once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from flows.facts import Facts
from flows.reading import command
from flows.words import Ask, Chose, Declined, Event, FieldErrors, Input, Option, Said, Say, Values


@dataclass(frozen=True, slots=True)
class Problem:
    """Why an answer does not fit: the name of a sentence, with its values."""

    name: str
    values: Values = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Field:
    """One thing to ask for.

    `parse` gives the value to keep or a Problem. `free`: any words fit, so that a lone command word is asked about.
    """

    name: str
    parse: Callable[[str, Facts], str | Problem]
    options: tuple[Option, ...] = ()
    free: bool = False


Answers = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of one flow; its questions are `<flow>.<field>` in the texts."""

    flow: str
    fields: tuple[Field, ...]

    def field(self, name: str) -> Field:
        """The field of this name."""
        return next(one for one in self.fields if one.name == name)

    def next(self, answers: Answers) -> str | None:
        """The first field that has no answer yet; None when all have."""
        return next((one.name for one in self.fields if one.name not in answers), None)

    def ask(self, asking: str, values: Values) -> Ask:
        """The question of one field."""
        return Ask(asking, f"{self.flow}.{asking}", values, self.field(asking).options)

    def take(self, answers: Answers, asking: str, event: Event, facts: Facts) -> Answers | Declined:
        """The answers with this one added, or why it does not fit."""
        match event:
            case Chose(text):
                pass
            case Said(text, literal):
                if self.field(asking).free and not literal and command(text):
                    return Declined("talk.doubt")
            case _:
                return Declined()
        value = self.field(asking).parse(text, facts)
        if isinstance(value, Problem):
            return Declined(value.name, value.values)
        return {**answers, asking: value}

    def fill(self, answers: Answers, asking: str, values: Mapping[str, str], facts: Facts) -> Answers | FieldErrors:
        """The answers with all of these, or what is wrong with each that does not fit; others count for nothing.

        `asking`: what cannot be missing.
        """
        given = {asking: "", **values}
        parsed = {one.name: one.parse(given[one.name], facts) for one in self.fields if one.name in given}
        wrong = [(name, Say(bad.name, bad.values)) for name, bad in parsed.items() if isinstance(bad, Problem)]
        good = {name: value for name, value in parsed.items() if not isinstance(value, Problem)}
        return FieldErrors(tuple(wrong)) if wrong else {**answers, **good}

    def inputs(self, answers: Answers, *names: str) -> tuple[Input, ...]:
        """These fields for a window, with what is known of them."""
        return tuple(Input(name, f"input.{self.flow}.{name}", answers.get(name, "")) for name in names)


def without(answers: Answers, *names: str) -> Answers:
    """The answers less those of the named fields."""
    return {name: value for name, value in answers.items() if name not in names}
