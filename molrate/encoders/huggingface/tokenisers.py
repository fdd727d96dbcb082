"""SMILES cut into the tokens of a language model: as published, or by a rule over its vocabulary.

Published tokenisers of chemical models are often those of natural language: they may split ``Cl`` into
``C`` and ``l``, or lower the case of atoms. The rule keeps atoms whole, where the vocabulary has them.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from molrate.errors import WeightsError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SMILES, PUBLISHED = "smiles", "published"
TOKENISERS = (PUBLISHED, SMILES)

_SMILES_TOKEN = re.compile(r"\[[^\]]*\]|Br|Cl|%\d\d|[A-Za-z]|\d|[^\sA-Za-z\d]")
"""An atom in brackets, an atom of two letters, a ring closure above 9, any other letter, digit or sign."""

_BEGIN, _END, _UNKNOWN = ("[CLS]", "<s>"), ("[SEP]", "</s>"), ("[UNK]", "<unk>")


@dataclass(frozen=True)
class TokenisedText:
    """A text as a language model reads it.

    Attributes
    ----------
    ids : list of int
    special : list of bool
        Which of them stand for the begin or end of the text, and for nothing in it.
    unknown : int
        Number of tokens, or of letters, that the vocabulary does not have.
    """

    ids: list[int]
    special: list[bool]
    unknown: int


class Tokeniser(ABC):
    """A function from text to tokens."""

    name: str

    @property
    @abstractmethod
    def n_numbers(self) -> int:
        """One more than the highest number of a token that a text may get."""

    @abstractmethod
    def tokenise(self, text: str) -> TokenisedText:
        """Cut a text into tokens, with those that begin and end it."""


def join_vocabulary(numbers: dict[str, int]) -> str:
    """Tokens in the order of their numbers, with a space between them.

    Numbers without a token, and tokens with white space, which no SMILES has, get a placeholder.
    """
    tokens = [f"[no-token-{number}]" for number in range(max(numbers.values(), default=-1) + 1)]
    for token, number in numbers.items():
        if token.split() == [token]:
            tokens[number] = token
    return " ".join(tokens)


class SmilesTokeniser(Tokeniser):
    """Atoms, bonds, rings and branches, as far as a vocabulary has them.

    Parameters
    ----------
    vocabulary : str
        Of :func:`join_vocabulary`.
    source : str
        Where it comes from, for what is said of it.

    Raises
    ------
    WeightsError
        If it has no token for what is unknown.
    """

    name = SMILES

    def __init__(self, vocabulary: str, source: str = "tokeniser") -> None:
        self._numbers = {token: number for number, token in enumerate(vocabulary.split(" "))}
        unknown = self._first(_UNKNOWN)
        if unknown is None:
            raise WeightsError(
                f"{source}: has neither {' nor '.join(_UNKNOWN)}, which stands for tokens that a vocabulary "
                "lacks; take the vocabulary that was published with the model, or its tokenizer.json"
            )
        self._unknown, self._begin, self._end = unknown, self._first(_BEGIN), self._first(_END)

    def _first(self, names: tuple[str, ...]) -> int | None:
        return next((self._numbers[name] for name in names if name in self._numbers), None)

    @property
    def n_numbers(self) -> int:
        """See :attr:`Tokeniser.n_numbers`."""
        return 1 + max(self._numbers.values())

    def tokenise(self, text: str) -> TokenisedText:
        """See :meth:`Tokeniser.tokenise`."""
        inner = [self._numbers.get(token, self._unknown) for token in _SMILES_TOKEN.findall(text)]
        begin = [] if self._begin is None else [self._begin]
        end = [] if self._end is None else [self._end]
        special = [*(True for _ in begin), *(False for _ in inner), *(True for _ in end)]
        return TokenisedText([*begin, *inner, *end], special, inner.count(self._unknown))


class PublishedTokeniser(Tokeniser):
    """The tokeniser that was published with a model.

    Parameters
    ----------
    content : str
        What the tokenizers library keeps in ``tokenizer.json``.
    source : str
        Where it comes from, for what is said of it.

    Raises
    ------
    WeightsError
        If it cannot be read.
    """

    name = PUBLISHED

    def __init__(self, content: str, source: str = "tokeniser") -> None:
        self._content, self._source = content, source
        _ = self._tokenizer

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        from tokenizers import Tokenizer

        try:
            tokenizer = Tokenizer.from_str(self._content)
        except Exception as error:
            # The library raises nothing narrower.
            raise WeightsError(f"{self._source}: cannot be read, it is damaged: {error}") from error
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer

    @cached_property
    def _unknown(self) -> int | None:
        name = getattr(self._tokenizer.model, "unk_token", None)
        return None if name is None else self._tokenizer.token_to_id(name)

    @property
    def n_numbers(self) -> int:
        """See :attr:`Tokeniser.n_numbers`; marks such as that of padding are in no text by themselves."""
        marks = {
            number for number, token in self._tokenizer.get_added_tokens_decoder().items() if token.special
        }
        found = set(self._tokenizer.get_vocab().values()) - marks
        found |= {*self._tokenizer.encode("").ids, *([] if self._unknown is None else [self._unknown])}
        return 1 + max(found, default=-1)

    @property
    def vocabulary(self) -> str:
        """Its vocabulary, for the rule that keeps atoms whole."""
        return join_vocabulary(self._tokenizer.get_vocab())

    def tokenise(self, text: str) -> TokenisedText:
        """See :meth:`Tokeniser.tokenise`; some vocabularies drop without a sign what they do not have."""
        encoding = self._tokenizer.encode(text)
        special = [bool(flag) for flag in encoding.special_tokens_mask]
        covered = {
            position
            for (begin, end), flag in zip(encoding.offsets, special, strict=True)
            if not flag
            for position in range(begin, end)
        }
        dropped = len(text) - len(covered)
        unknown = 0 if self._unknown is None else encoding.ids.count(self._unknown)
        return TokenisedText(list(encoding.ids), special, unknown + dropped)


def read_tokeniser(settings: dict[str, Any], source: str) -> Tokeniser:
    """Tokeniser of the settings of a model.

    Parameters
    ----------
    settings : dict
        ``kind`` and ``vocabulary``, or ``kind`` and ``content``.
    source : str
        Where they come from, for what is said of them.

    Raises
    ------
    WeightsError
        If they are not settings of a tokeniser.
    """
    if settings.get("kind") == SMILES and "vocabulary" in settings:
        return SmilesTokeniser(settings["vocabulary"], source)
    if settings.get("kind") == PUBLISHED and "content" in settings:
        return PublishedTokeniser(settings["content"], source)
    raise WeightsError(f"{source}: not settings of a tokeniser: {sorted(settings)}")


def choose_tokeniser(settings: dict[str, Any], kind: str | None, source: str) -> dict[str, Any]:
    """Settings of the tokeniser of a kind; those given where none is named or they are of it.

    `source` is where they come from, for what is said of them.

    Raises
    ------
    WeightsError
        If there is none of that kind.
    """
    if kind is None or settings.get("kind") == kind:
        return settings
    tokeniser = read_tokeniser(settings, source)
    if isinstance(tokeniser, PublishedTokeniser):
        return {"kind": SMILES, "vocabulary": tokeniser.vocabulary}
    raise WeightsError(f"{source}: a vocabulary only, which no tokeniser was published with; take smiles")
