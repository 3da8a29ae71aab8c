"""Numbers as readers type them, and what is said about them. ``live/answer.js`` does the same.

A number may be ``-1`` with any minus, ``2/25``, ``sqrt(65)`` or ``√65``, ``e^3``, ``10·2``,
``79 %``; ``73,856``, ``73 856`` or ``73.856,5`` with its thousands set apart; ``20,0855`` with a
decimal comma. Where a comma can be either, it is what makes the answer right, and else sets
thousands apart, as the book does.
"""

import math
import re

NOT_A_NUMBER = "Write a number such as 0.25, 2/25 or sqrt(2)."

_SAME = str.maketrans("−–×·⋅÷\u00a0\u2009\u202f", "--***/   ")
_THOUSANDS = r"[1-9][0-9]{0,2}(?:,[0-9]{3})+(?:\.[0-9]*)?"
_DECIMAL_COMMA = r"[0-9]*,[0-9]+"
_NUMBER = (
    r"(?:{comma}|[1-9][0-9]{{0,2}}(?: [0-9]{{3}})+(?:[.,][0-9]+)?"
    r"|[1-9][0-9]{{0,2}}(?:(?:\.[0-9]{{3}})+,[0-9]+|(?:\.[0-9]{{3}}){{2,}})"
    r"|[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[-+]?[0-9]+)?(?![0-9.,])"
)
_TOKEN = r"({number})|([a-z]+|√|π)|(\*\*|[-+*/^()%])"
_COMMA = {"thousands": _THOUSANDS, "decimal": _DECIMAL_COMMA}
"""What a comma may do."""

_FUNCTIONS = {"sqrt": math.sqrt, "exp": math.exp, "ln": math.log, "√": math.sqrt}
_CONSTANTS = {"e": math.e, "pi": math.pi, "π": math.pi}


class _Reader:
    """Reads ``sum = product {± product}``, ``product = power {*/ power}``, and so on."""

    def __init__(self, text: str, comma: str) -> None:
        token = re.compile(rf" *(?:{_TOKEN.format(number=_NUMBER.format(comma=_COMMA[comma]))}) *")
        self.tokens: list[str] = []
        place = 0
        while place < len(text):
            if not (found := token.match(text, place)):
                raise ValueError(text)
            self.tokens.append(found[0].strip())
            place = found.end()
        self.tokens.append("")
        self.comma = comma

    def take(self, *tokens: str) -> str | None:
        """The next token if it is one of these."""
        return self.tokens.pop(0) if self.tokens[0] in tokens else None

    def all(self) -> float:
        value = self.sum()
        self.expect("")
        return value

    def expect(self, token: str) -> None:
        if self.take(token) is None:
            raise ValueError(self.tokens[0])

    def sum(self) -> float:
        value = self.product()
        while sign := self.take("+", "-"):
            other = self.product()
            value = _finite(value + other if sign == "+" else value - other)
        return value

    def product(self) -> float:
        value = self.signed()
        while sign := self.take("*", "/"):
            other = self.signed()
            value = _finite(value * other if sign == "*" else value / other)
        return value

    def signed(self) -> float:
        if self.take("-"):
            return -self.signed()
        return self.signed() if self.take("+") else self.power()

    def power(self) -> float:
        value = self.atom()
        if self.take("^", "**"):
            value = _finite(value ** self.signed())
        return value / 100 if self.take("%") else value

    def atom(self) -> float:
        token = self.tokens.pop(0)
        if token == "(":
            value = self.sum()
            self.expect(")")
            return value
        if token in _CONSTANTS:
            return _CONSTANTS[token]
        if token in _FUNCTIONS:
            if token != "√" and self.tokens[0] != "(":
                raise ValueError(token)
            return _finite(_FUNCTIONS[token](self.atom()))
        return _finite(self.number(token))

    def number(self, token: str) -> float:
        token = token.replace(" ", "")
        if re.fullmatch(rf"{_THOUSANDS}(e.*)?", token) and self.comma == "thousands":
            return float(token.replace(",", ""))
        if "," in token or token.count(".") > 1:
            token = token.replace(".", "").replace(",", ".")
        return float(token)


def _finite(value: float | complex) -> float:
    if isinstance(value, complex) or not math.isfinite(value):
        raise ValueError(value)
    return value


def readings(text: str) -> dict[str, float]:
    """What a text may mean: its value by what a comma does, ``thousands`` or ``decimal``.

    One entry where that makes no difference; none if it is no number.
    """
    text = " ".join(text.translate(_SAME).lower().split())
    found: dict[str, float] = {}
    for comma in _COMMA if 0 < len(text) <= 100 else ():
        try:
            value = _Reader(text, comma).all()
        except (ValueError, ArithmeticError):
            continue
        if value not in found.values():
            found[comma] = value
    return found


def right(answer: float, tol: float) -> str:
    """The verdict on a right answer: to the digits that the tolerance leaves."""
    whole = tol >= 0.5 or answer == round(answer)
    return f"Right: {answer:,.0f}." if whole else f"Right: {answer:.6g}."


def verdict(text: str, answer: float, tol: float, hint: str) -> str:
    """What is said about an answer.

    Args:
        text: what the reader has typed.
        answer: the right one.
        tol: the largest error that counts as right.
        hint: follows what is wrong.
    """
    found = readings(text)
    if not found:
        return NOT_A_NUMBER
    fits = [comma for comma, value in found.items() if abs(value - answer) <= tol]
    comma = (fits or list(found))[0]
    what = "separates thousands" if comma == "thousands" else "is a decimal point"
    remark = f" (The comma {what} here.)" if len(found) > 1 else ""
    if fits:
        return right(answer, tol) + remark
    return f"Not yet: {diagnosis(found[comma], answer, tol)}.{remark} {hint}"


def diagnosis(value: float, answer: float, tol: float) -> str:
    """What is wrong with a number: its sign, a power of ten, or else that it is large or small."""
    near = min(tol, abs(answer) / 10)
    if abs(value + answer) <= near:
        return "the sign is the other one"
    for factor, name in ((10, "ten"), (100, "a hundred"), (1000, "a thousand")):
        if abs(value / factor - answer) <= near:
            return f"{name} times too large"
        if abs(value * factor - answer) <= near:
            return f"{name} times too small"
    return "too large" if value > answer else "too small"
