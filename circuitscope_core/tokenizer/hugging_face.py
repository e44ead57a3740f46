"""Tokenizers of Hugging Face models, from their ``tokenizer.json``."""

import json
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import Any

from circuitscope_core.errors import BundleError, CircuitScopeError, PromptError
from circuitscope_core.files import place_of, reason_of, refusing
from circuitscope_core.tokenizer.pieces import PieceKind, kind_of, piece_bytes, readable
from circuitscope_core.tokenizer.protocol import SEPARATOR

CONFIG = "tokenizer_config.json"
TEMPLATE = "chat_template.jinja"
PREFIX = "text_prefix"
"""Entry of the configuration of tokenizers that are learned here."""
LONGEST_TEMPLATE = 100_000
"""Characters of a chat template that is run."""
USUAL = ("<s>", "<bos>", "<|begin_of_text|>", "[BOS]", "[CLS]", SEPARATOR, "</s>", "<eos>")
"""Tokens that open texts where nothing names one, the first that is there: those whose name says so
before those that end a text and so divide texts."""
USUAL_MASKS = ("[MASK]", "<mask>")
"""Tokens that ask a masked model for a word where no configuration names one."""
REASONS = {
    "named": "the model's configuration names it as the beginning of a text",
    "separator": "the token that divides documents, since the configuration names none for the "
    "beginning of a text",
    "special": "a special token of its vocabulary, since none is named for the beginning of a text",
    "chosen": "the token that was chosen to open prompts",
}
"""Why a token opens prompts."""
NAMED = ("bos_token", "eos_token", "pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
"""Entries of a configuration that name special tokens, which a chat template may write."""


@contextmanager
def _in_library(kind: type[CircuitScopeError], problem: str, advice: str = "") -> Iterator[None]:
    """Turn what the library raises, bare exceptions and panics of Rust, into an error of ours."""
    try:
        yield
    except BaseException as error:
        is_panic = type(error).__module__ == "pyo3_runtime"  # one is no Exception
        if not isinstance(error, Exception) and not is_panic:
            raise
        raise kind(f"{problem}: {reason_of(error)}. {advice}".strip()) from error


class HuggingFaceTokenizer:
    """A tokenizer read from a Hugging Face ``tokenizer.json``.

    Prompts are opened with the model's own token for it: the one that ``tokenizer_config.json``
    beside the file names as beginning of a sequence, else a usual one, else any special token.

    Args:
        path: The file.
        opener: The token to open prompts with instead.

    Raises:
        BundleError: If the file is missing or unreadable, or no token can open prompts.
    """

    def __init__(self, path: str | Path, opener: str | None = None) -> None:
        self.path = place_of(path)
        if not self.path.is_file():
            raise BundleError(f"{self.path} is not there; it must be a tokenizer.json file.")
        config = self.path.with_name(CONFIG)
        # kept, since the folder that it lies in may be gone when a model is saved again
        self._config = config.read_bytes() if config.is_file() else None
        with refusing(BundleError, f"{self.path} cannot be read"):
            file = self.path.read_bytes()
        self._read(file.removeprefix(BOM_UTF8), opener)

    @classmethod
    def of(cls, file: str, settings: Mapping[str, str]) -> "HuggingFaceTokenizer":
        """Return a tokenizer from the text of a ``tokenizer.json`` and its configuration."""
        tokenizer = cls.__new__(cls)
        tokenizer.path = Path("tokenizer.json")
        tokenizer._config = json.dumps(settings).encode()
        tokenizer._read(file.encode(), None)
        return tokenizer

    def _read(self, file: bytes, opener: str | None) -> None:
        from tokenizers import Tokenizer as FastTokenizer  # slow to import, and rarely needed

        self._file = file
        self._known_bytes: dict[int, bytes] = {}
        with _in_library(BundleError, f"{self.path} is not a Hugging Face tokenizer.json"):
            self._fast = FastTokenizer.from_buffer(self._file)
            self._kind = kind_of(json.loads(self._file))
        self._fast.no_truncation()  # a file may ask for it, and text would be lost
        self._fast.no_padding()
        self.chat_template = self._read_template()
        """The program that writes messages as a text; empty for a model without one."""
        self.text_prefix: str = " " if self._settings().get(PREFIX) == " " else ""
        """Put before a text that does not begin with white space, so that its first word is the
        same tokens there as behind a space; empty for tokenizers made elsewhere."""
        self.opener, reason = (opener, "chosen") if opener else self._find_opener()
        self.opener_reason = REASONS[reason]
        """Why prompts are opened with that token, in words."""
        found = self._id_of(self.opener)
        if found is None:
            raise BundleError(f"{self.path} has no token {self.opener!r}; name one that it has.")
        self.separator_id: int = found
        self.d_vocab: int = self._fast.get_vocab_size(with_added_tokens=True)

    def _find_opener(self) -> tuple[str, str]:
        """Return the token that opens prompts, and which of the reasons it has."""
        names = dict(self.special_names)
        wanted = names.get("bos_token", "")
        named = [names.get(entry, "") for entry in ("eos_token", "cls_token")]
        special = [str(token.content) for token in self._special.values()]
        known = (wanted, self._leading_token(), *USUAL, *named, *special)
        there = [name for name in known if name and self._id_of(name) is not None]
        if not there:
            raise BundleError(
                f"{self.path} has no special token to open prompts with; name one as opener."
            )
        if there[0] == wanted:
            return there[0], "named"
        return there[0], "separator" if there[0] == SEPARATOR else "special"

    def _leading_token(self) -> str:
        """Return the special token that the file's own post-processing puts before a text."""
        encoded = self._encoded("a", add_special_tokens=True)
        first = encoded.tokens[:1] if encoded.special_tokens_mask[:1] == [1] else [""]
        return str(*first)

    def _encoded(self, text: str, *, add_special_tokens: bool = False) -> Any:
        """Return the library's encoding of a text.

        Raises:
            PromptError: If the tokenizer has no tokens for a part of it.
        """
        return self._told(self._fast.encode, text, add_special_tokens=add_special_tokens)

    def _told(self, encode: Callable[..., Any], *given: Any, **options: Any) -> Any:
        problem = f"{self.path} cannot turn this text into tokens"
        advice = "Its file needs a token for what is unknown, or the text others of its words."
        with _in_library(PromptError, problem, advice):
            return encode(*given, **options)

    def _id_of(self, name: str) -> int | None:
        """Return the id of a token by its name; None for one that no token can have."""
        try:
            return self._fast.token_to_id(name)
        except UnicodeEncodeError:  # half a character, which JSON can hold
            return None

    @cached_property
    def special_names(self) -> tuple[tuple[str, str], ...]:
        """The configuration's names of special tokens, such as ``bos_token``, and their texts."""
        settings = self._settings()
        found = ((entry, _token_name(settings.get(entry))) for entry in NAMED)
        return tuple((entry, name) for entry, name in found if name)

    def _read_template(self) -> str:
        """Return the chat template: a file of its own, or in the configuration."""
        path = self.path.with_name(TEMPLATE)
        if path.is_file():
            with path.open(encoding="utf-8-sig", errors="replace") as file:
                return file.read(LONGEST_TEMPLATE + 1)
        found = self._settings().get("chat_template")
        if isinstance(found, list):  # several, by name
            found = {
                item.get("name"): item.get("template") for item in found if isinstance(item, dict)
            }.get("default")
        return found if isinstance(found, str) else ""

    def _settings(self) -> dict[str, Any]:
        if self._config is None:
            return {}
        try:
            found = json.loads(self._config)
        except (ValueError, RecursionError) as error:
            raise BundleError(f"{self.path.with_name(CONFIG)} cannot be read: {error}") from error
        if not isinstance(found, dict):
            raise BundleError(f"{self.path.with_name(CONFIG)} holds no settings.")
        return found

    @cached_property
    def _special(self) -> dict[int, Any]:
        added = self._fast.get_added_tokens_decoder()
        return {token_id: token for token_id, token in added.items() if token.special}

    @cached_property
    def mask_id(self) -> int | None:
        """The token in whose place a masked model finds a word; None where there is none."""
        named = dict(self.special_names).get("mask_token")
        found = (self._fast.token_to_id(name) for name in (named, *USUAL_MASKS) if name)
        return next((token_id for token_id in found if token_id is not None), None)

    @cached_property
    def closing_ids(self) -> tuple[int, ...]:
        """The special tokens that the file's own post-processing puts behind a text."""
        encoded = self._encoded("a", add_special_tokens=True)
        marks = takewhile(bool, reversed(encoded.special_tokens_mask))
        n_closing = sum(1 for _ in marks)
        return tuple(encoded.ids[len(encoded.ids) - n_closing :])

    def is_special(self, token_id: int) -> bool:
        """Return whether a token stands for no text, as the one that opens prompts."""
        return token_id in self._special

    def save(self, path: Path) -> None:
        """Write the file that this tokenizer was read from, and beside it what is used of its
        configuration: the opener, the names of special tokens and the chat template."""
        path.write_bytes(self._file)
        kept = {"chat_template": self.chat_template, PREFIX: self.text_prefix}
        kept = {name: value for name, value in kept.items() if value}
        settings = json.dumps({**dict(self.special_names), "bos_token": self.opener, **kept})
        path.with_name(CONFIG).write_text(settings, encoding="utf-8")

    def encode(self, text: str) -> list[int]:
        """Return the ids of ``text``, special tokens not added."""
        return list(self._encoded(text).ids)

    def encode_many(self, texts: list[str]) -> list[list[int]]:
        """Return the ids of several texts, which the processors share."""
        found = self._told(self._fast.encode_batch_fast, texts, add_special_tokens=False)
        return [list(encoded.ids) for encoded in found]

    def encode_with_spans(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Return the ids of ``text`` and where in it each begins and ends, in characters."""
        encoded = self._encoded(text)
        return list(encoded.ids), list(encoded.offsets)

    def decode(self, token_ids: list[int]) -> str:
        """Return the text, special tokens included.

        The library drops the space in front of SentencePiece tokens, and a continuation needs it.
        """
        if self._kind in (PieceKind.BYTES, PieceKind.SENTENCE):
            return b"".join(map(self.token_bytes, token_ids)).decode(errors="replace")
        problem = f"{self.path} cannot turn tokens {token_ids[:5]} into text"
        with _in_library(BundleError, problem):
            return str(self._fast.decode(token_ids, skip_special_tokens=False))

    def token_bytes(self, token_id: int) -> bytes:
        """Return the bytes of text that a token stands for; a special one's are its name."""
        known = self._known_bytes.get(token_id)
        if known is None:
            known = self._known_bytes[token_id] = self._find_bytes(token_id)
        return known

    def _find_bytes(self, token_id: int) -> bytes:
        piece = self._fast.id_to_token(token_id) if token_id >= 0 else None
        if piece is None:
            return f"<{token_id}>".encode()
        if token_id in self._special:
            return str(piece).encode()
        return piece_bytes(piece, self._kind)

    def token_text(self, token_id: int) -> str:
        r"""Return one token as text; a part of a character as its bytes, ``\xe6\x9d``."""
        return readable(self.token_bytes(token_id))


def _token_name(entry: Any) -> str:
    """Return the text of a token in a configuration, which may be an object with settings."""
    if isinstance(entry, dict):
        entry = entry.get("content")
    return entry if isinstance(entry, str) else ""
