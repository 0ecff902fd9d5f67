"""What tells a user's error from a bug. Standard library only."""

LONG = 600
"""Letters of a complaint that are shown."""


class MidmsError(Exception):
    """Something that whoever called can put right; the message says what. The command line shows it as one line.

    Errors inherit it beside the built-in kind that they are.
    """


class NothingDrawn(MidmsError, ValueError):
    """A picture shows nothing that a condition can be made of; the message says what it lacks."""


class IdlePrompt(MidmsError, ValueError):
    """A prompt, or what goes with one, that changes nothing; the message begins with the argument's name."""


class NotFinite(MidmsError, ArithmeticError):
    """Infinite numbers, or NaN, where a picture is to be made of them; the message says which part gave them."""


class OutOfMemory(MidmsError, MemoryError):
    """There is less memory than something needs; the message says which part asked for it."""


class WrongAnswer(MidmsError, TypeError):
    """A part gave something else than its protocol says; the message names its slot."""


def printable(text: object) -> str:
    """A text in a line that a terminal shows and does not obey: letters that cannot be printed are spelled out."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in str(text))


def brief(complaint: str) -> str:
    """A complaint about one thing; of a long one, such as about a list of thousands of numbers, the two ends."""
    half = LONG // 2
    return complaint if len(complaint) <= LONG else f"{complaint[:half]} ... {complaint[-half:]}"
