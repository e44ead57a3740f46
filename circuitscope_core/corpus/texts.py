"""Documents that a program has in memory, as text to train on or to make feature cards from."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from circuitscope_core.corpus.documents import Document, ReadCounter
from circuitscope_core.errors import CorpusError

GIVEN = "text"
"""The part of the corpus that a text without one is from."""


@dataclass(frozen=True, repr=False)
class TextSource:
    """Texts of a list, in its order, as a source of text to train on.

    A training reads its text twice, once to learn words and once to learn from, so the texts must
    be in memory: an iterator is taken up when the source is made. A text of a size that memory
    does not hold belongs into Parquet files.

    Args:
        texts: Strings, or documents that name the part of the corpus they are from. Empty ones and
            None are left out and counted.
        name: The source's name in records of a model.
        redistributable: Whether feature cards of a model may quote the texts in public.

    Raises:
        CorpusError: If ``texts`` is one string, or holds something that is no text.

    Example:
        >>> import circuitscope_core as cs
        >>> source = cs.TextSource(["One letter.", "Another letter."], name="letters")
        >>> source
        TextSource(2 texts, 'letters')
    """

    texts: Iterable[str | Document | None]
    name: str = GIVEN
    redistributable: bool = False

    def __post_init__(self) -> None:
        """Take the texts up and look at each."""
        if isinstance(self.texts, str | bytes):
            raise CorpusError(
                f"{self.texts!r:.60} is one text and no list of texts; put it into brackets: [...]."
            )
        if not isinstance(self.texts, Iterable):
            raise CorpusError(f"{self.texts!r:.60} is no list of texts; give strings or documents.")
        texts = tuple(text if text is None else given_document(text) for text in self.texts)
        object.__setattr__(self, "texts", texts)

    def __repr__(self) -> str:
        """Return the number of texts and the name, and none of the texts."""
        return f"TextSource({len(tuple(self.texts)):,} texts, {self.name!r})"

    def documents(self, counter: ReadCounter) -> Iterator[Document]:
        """Yield the documents, and count the texts that are left out."""
        for text in self.texts:
            if text is None:
                counter.n_null += 1
                continue
            document = given_document(text)
            if not document.text or document.text.isspace():
                counter.n_empty += 1
            elif not _is_utf_8(document.text):
                counter.n_not_text += 1
            else:
                yield document


def given_document(text: object) -> Document:
    """Return a string as a document, or a document itself.

    Raises:
        CorpusError: If it is neither.
    """
    if isinstance(text, Document):
        return text
    if isinstance(text, str):
        return Document(text, GIVEN)
    raise CorpusError(f"{text!r:.60} is no text; give strings or documents.")


def _is_utf_8(text: str) -> bool:
    """Return whether a text has no half of a character that is written as two (a surrogate)."""
    return text.isascii() or not any("\ud800" <= sign <= "\udfff" for sign in text)
