"""Assembly text → tokens, and a cursor over the tokens of one line."""

from __future__ import annotations

import json
import re

from ebpf.errors import AsmError
from ebpf.plain import NamedTuple

_TOKEN = re.compile(
    r"""
      (?P<space>[\ \t\r\f\v]+)
    | (?P<comment>(?:\#|//).*)
    | (?P<string>"(?:[^"\\]|\\.)*")
    | (?P<number>0[xX][0-9a-fA-F]+|[0-9]+)(?=(?:ll)?(?![A-Za-z0-9_.$]))
    | (?P<malformed>[0-9][A-Za-z0-9_.$]*)
    | (?P<operator>s>>=|s/=|s%=|s>=|s<=|s>|s<|<<=|>>=|[-+*/%|&^=!<>]=|[-+*&=<>()\[\],:;])
    | (?P<word>[A-Za-z_.$][A-Za-z0-9_.$]*)
    """,
    re.VERBOSE,
)
_LISTING = re.compile(r"\s*[0-9]+:\s+(?:\([0-9a-f]{2}\)\s)?")
"""What listings put before an instruction: its slot, and the kernel its opcode too."""


class Token(NamedTuple):
    """A word, number, string or operator; `kind` is "end" behind the last one. `column` counts from 1."""

    kind: str
    text: str
    column: int

    def __str__(self) -> str:
        return "the end of the line" if self.kind == "end" else self.text


def tokenize(text: str, line: int) -> list[Token]:
    """Split one line of text; its comment is dropped. Raises AsmError for a character that has no meaning."""
    prefix = _LISTING.match(text)
    position = prefix.end() if prefix else 0
    tokens: list[Token] = []
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise AsmError(f"no token begins with {text[position]!r}", line=line, column=position + 1)
        kind = match.lastgroup or ""
        if kind == "malformed":
            raise AsmError(f"{match[0]} is not a number", line=line, column=position + 1)
        # In a listing the kernel puts the verifier's state behind a semicolon; elsewhere it separates instructions.
        if kind == "comment" or (match[0] == ";" and (prefix or not tokens)):
            break
        if kind != "space":
            tokens.append(Token(kind, match[0], position + 1))
        position = match.end()
    tokens.append(Token("end", "", len(text.rstrip()) + 1))
    return tokens


class Cursor:
    """The tokens of one line and a position in them. Every error names what was expected and what was found."""

    def __init__(self, text: str, line: int) -> None:
        self.line = line
        self._tokens = tokenize(text, line)
        self._index = 0

    @property
    def token(self) -> Token:
        """The next token, not yet taken."""
        return self._tokens[self._index]

    def look(self, ahead: int) -> Token:
        """Return the token `ahead` places behind the next one."""
        return self._tokens[min(self._index + ahead, len(self._tokens) - 1)]

    def follows(self, text: str) -> bool:
        """Tell whether the last token taken is this one."""
        return self._index > 0 and self._tokens[self._index - 1].text == text

    def take(self) -> Token:
        """Return the next token and go on; the end stays where it is."""
        token = self.token
        if token.kind != "end":
            self._index += 1
        return token

    def accept(self, *texts: str) -> Token | None:
        """Take the next token if it is one of these operators or words."""
        token = self.token
        return self.take() if token.kind in ("operator", "word") and token.text in texts else None

    def expect(self, *texts: str) -> Token:
        """Take the next token, which must be one of these."""
        token = self.accept(*texts)
        if token is None:
            raise self.error(" or ".join(f"'{text}'" for text in texts))
        return token

    def error(self, expected: str, token: Token | None = None) -> AsmError:
        """Make the error "expected this, found that" at a token, the next one unless told."""
        found = token or self.token
        return AsmError(f"expected {expected}, found {found}", line=self.line, column=found.column)

    def wrong(self, reason: str, token: Token) -> AsmError:
        """Make an error about a token that is understood but can't be."""
        return AsmError(reason, line=self.line, column=token.column)

    def integer(self, low: int, high: int, *, wrap: int = 0) -> int:
        """Take a number with an optional sign, from `low` to `high`.

        A hexadecimal number without sign may also be the two's complement of `wrap` bits.
        """
        start = self.token
        sign = self.accept("+", "-")
        token = self.token
        if token.kind != "number":
            raise self.error("a number", token)
        value = int(self.take().text, 0 if token.text[:2] in ("0x", "0X") else 10)
        if sign is not None and sign.text == "-":
            value = -value
        elif wrap and token.text[:2] in ("0x", "0X") and 1 << wrap - 1 <= value < 1 << wrap:
            value -= 1 << wrap
        if not low <= value <= high:
            raise self.error(f"a number from {low} to {high}", Token("number", str(value), start.column))
        return value

    def name(self, what: str) -> str:
        """Take a bare word or a quoted string as a name."""
        token = self.take()
        if token.kind == "word":
            return token.text
        if token.kind == "string":
            return self._unquote(token)
        raise self.error(what, token)

    def _unquote(self, token: Token) -> str:
        try:
            return str(json.loads(token.text, strict=False))
        except ValueError:
            raise self.error("a string as in JSON", token) from None
