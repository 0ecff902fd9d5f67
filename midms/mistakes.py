"""What tells a user's mistake from a bug. Standard library only."""


class Mistake(Exception):
    """Something that whoever called can put right; the message says what. The command line shows it as one line.

    Errors inherit it beside the built-in kind that they are.
    """


class NotFinite(Mistake, ArithmeticError):
    """Infinite numbers, or NaN, where a picture is to be made of them; the message says which part gave them."""
