"""Words of a prompt: tokens that are read as one, and may stand in one column."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from circuitscope_core.circuit import Circuit
from circuitscope_core.graph import NodeKind
from circuitscope_core.supernodes import Supernode, Supernodes
from circuitscope_core.tokenizer import token_label

Word = tuple[int, ...]
"""The positions of a word's tokens, side by side."""
MANY_PIECES = 2.0
"""Tokens of a word, on average, from which on words are folded unasked: those of bytes are."""
MOST_PIECES = 32
"""Tokens of a word that is folded, at most: a longer run of letters is no word to be read."""
FEW_TOKENS = 16
"""Tokens up to which nothing is folded unasked."""


@dataclass(frozen=True)
class Folding:
    """Which words have their tokens in one column."""

    by_words: bool | None = None
    """None: where words have several tokens on average, as with a model of bytes."""
    unfolded: frozenset[int] = field(default_factory=frozenset)
    """The first positions of words that are left as tokens."""


FOLDED = Folding()


def words_of(texts: Sequence[str]) -> tuple[Word, ...]:
    """Return the words that tokens are parts of; every position is in one, in their order.

    A word is a run of letters and digits with the white space before it. The opening token and each
    sign stand alone.

    Example:
        >>> words_of(["<s>", " Dig", "ital", " (", "N", "D"])
        ((0,), (1, 2), (3,), (4, 5))
    """
    words: list[list[int]] = []
    for position, text in enumerate(texts):
        before = texts[position - 1] if position else ""
        if position > 1 and _goes_on(before, text):
            words[-1].append(position)
        else:
            words.append([position])
    return tuple(map(tuple, words))


def _goes_on(before: str, text: str) -> bool:
    """Tell whether a token continues the word of the one before it."""
    if not before or not text or text[0].isspace():
        return False
    if before.isspace():
        return True
    return _is_letter(before[-1]) and _is_letter(text[0])


def _is_letter(character: str) -> bool:
    """Tell whether a character is part of a word; the bytes of a character count as such."""
    return character.isalnum() or character in "\\_'’"


def folded_words(circuit: Circuit, folding: Folding) -> tuple[Word, ...]:
    """Return the words of several tokens that have one column."""
    words = words_of(circuit.token_texts)
    by_words = folding.by_words
    if by_words is None:
        n = len(circuit.token_texts)
        by_words = n > FEW_TOKENS and n >= MANY_PIECES * len(words)
    if not by_words:
        return ()
    several = (word for word in words if 1 < len(word) <= MOST_PIECES)
    return tuple(word for word in several if word[0] not in folding.unfolded)


def text_of_word(texts: Sequence[str], word: Word) -> str:
    """Return a word as it is shown."""
    return "".join(token_label(texts[position]) for position in word)


def tokens_of_words(
    circuit: Circuit, words: Sequence[Word], supernodes: Supernodes
) -> list[Supernode]:
    """Return the kept tokens of each word as a group; those in a supernode stay in it."""
    taken = {member for group in supernodes.merged for member in group.members}
    at = {
        circuit.node(row).position: int(circuit.index[row])
        for row in circuit.rows_of(NodeKind.TOKEN).tolist()
    }
    groups = []
    for word in words:
        members = tuple(at[place] for place in word if place in at and at[place] not in taken)
        if len(members) > 1:
            groups.append(Supernode(text_of_word(circuit.token_texts, word), members))
    return groups
