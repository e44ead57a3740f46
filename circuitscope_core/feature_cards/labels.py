"""Labels by rule: what a feature's strongest examples share, and what it promotes."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from circuitscope_core.feature_cards.cards import Example
from circuitscope_core.tokenizer import Tokenizer, show

SHARED_BY = 0.75
"""Share of the examples that must agree for a rule to hold."""
LONGEST_SUFFIX = 14
"""Tokens up to the peak that a label may quote."""
CONTEXT = 4
"""Tokens on each side of the peak that the rules look at."""
LEAST_WORDS = 3
"""Different words that must begin alike for a label to name the letter; fewer are quoted."""
ALTERNATIVES = 2
"""Endings that a label quotes beside each other where no single one is shared."""


@dataclass(frozen=True)
class Sight:
    """An example's peak and the text around it, up to the ends of its document."""

    before: str
    peak: str
    after: str

    @property
    def previous(self) -> str:
        """The character before the peak; empty at the start of a text."""
        return self.before[-1:]

    @property
    def following(self) -> str:
        """The character after the peak; empty at the end of a text."""
        return self.after[:1]


Rule = tuple[str, Callable[[Sight], bool]]
LETTERS: tuple[Rule, ...] = (
    (
        "first letter of a capitalised word",
        lambda s: s.peak.isupper() and not s.previous.isalnum() and s.following.islower(),
    ),
    (
        "letter among capitals",
        lambda s: s.peak.isupper() and (s.previous.isupper() or s.following.isupper()),
    ),
    ("first letter of a word", lambda s: s.peak.isalpha() and not s.previous.isalnum()),
    (
        "second letter of a word",
        lambda s: s.peak.isalpha() and s.previous.isalpha() and not s.before[-2:-1].isalnum(),
    ),
    (
        "last letter of a word",
        lambda s: s.peak.isalpha() and s.previous.isalpha() and not s.following.isalnum(),
    ),
    ("letter inside a word", lambda s: s.peak.isalpha() and s.previous.isalpha()),
    ("first digit of a number", lambda s: s.peak.isdigit() and not s.previous.isdigit()),
    ("last digit of a number", lambda s: s.peak.isdigit() and not s.following.isdigit()),
    ("indentation", lambda s: s.peak == " " and s.before.lstrip("\n").strip(" ") == ""),
)
"""Rules for tokens of one character; the first that holds, in this order, gives the label."""
VAGUE = ("letter inside a word",)
"""Rules that say less than an ending would."""
CLASSES: tuple[Rule, ...] = (
    ("a digit", lambda s: s.peak.isdigit()),
    ("a number", lambda s: s.peak.strip().isdigit()),
    ("a capital letter", lambda s: len(s.peak) == 1 and s.peak.isupper()),
    ("a small letter", lambda s: len(s.peak) == 1 and s.peak.islower()),
    ("a letter", lambda s: len(s.peak) == 1 and s.peak.isalpha()),
    ("a capitalised word", lambda s: s.peak.strip().istitle()),
    ("a word", lambda s: s.peak.strip().isalpha()),
    ("white space", lambda s: s.peak.isspace()),
    ("part of a character beyond ASCII", lambda s: s.peak.startswith("\\x")),
    ("a sign", lambda s: not any(c.isalnum() or c.isspace() for c in s.peak)),
)
"""Rules for any token, where no rule on letters holds."""


def label_feature(
    tokenizer: Tokenizer,
    examples: Sequence[Example],
    top_tokens: Sequence[int],
    lowered: Sequence[int] = (),
) -> str:
    """Describe a feature by the text its strongest examples share and the token it moves most.

    Args:
        tokenizer: Turns token ids into text.
        examples: The feature's examples.
        top_tokens: Tokens that it promotes, best first; none where that says little.
        lowered: Tokens that it lowers, where it lowers tokens more than it promotes any.

    Returns:
        For example ``word beginning with “D” → “D”`` or ``“(N” → less “,”``.
    """
    strongest = [example for example in examples if example.kind == "top"]
    reads = describe_input(tokenizer, strongest)
    says = ""
    if lowered:
        says = f"→ less {quote(tokenizer.token_text(lowered[0]))}"
    elif top_tokens:
        says = f"→ {quote(tokenizer.token_text(top_tokens[0]))}"
    return " ".join(part for part in (reads, says) if part)


def quote(text: str) -> str:
    """Return text in quotes, without the space before a word."""
    return f"“{show(text.removeprefix(' ') or text)}”"


def describe_input(tokenizer: Tokenizer, examples: Sequence[Example]) -> str:
    """Name what most examples have in common at the peak; empty without examples."""
    if not examples:
        return ""
    suffix = shared_suffix(examples)
    sights = [look(tokenizer, example) for example in examples]
    place = holding(LETTERS, sights) if is_letters(sights) else ""
    if suffix:
        quoted = quote(tokenizer.decode(list(suffix)))
        return f"{quoted}, {place}" if place and len(suffix) == 1 else quoted
    if place and place not in VAGUE:
        return f"{place}{describe_previous(sights)}"
    initial = shared_initial(sights)
    endings = () if initial else shared_alternatives(examples)
    if endings:
        return " or ".join(quote(tokenizer.decode(list(run))) for run in endings)
    named = f"word beginning with “{initial}”" if initial else ""
    if kind := named or place or holding(CLASSES, sights):
        return f"{kind}{describe_previous(sights)}"
    common = [show(text) for text, _ in Counter(sight.peak for sight in sights).most_common(3)]
    return "one of “" + "”, “".join(common) + "”"


def look(tokenizer: Tokenizer, example: Example) -> Sight:
    """Return an example's peak with the text around it."""
    tokens, peak = example.token_ids, example.peak
    sides = [tokens[max(0, peak - CONTEXT) : peak], tokens[peak + 1 : peak + 1 + CONTEXT]]
    separator = tokenizer.token_text(tokenizer.separator_id)
    before, after = (tokenizer.decode(list(side)) for side in sides)
    text = tokenizer.token_text(tokens[peak])
    space = " " if text.startswith(" ") and text.strip() else ""  # of a word with its space
    return Sight(
        before.rpartition(separator)[2] + space,
        text.removeprefix(space),
        after.partition(separator)[0],
    )


def is_letters(sights: Sequence[Sight]) -> bool:
    """Return whether enough peaks are one character each."""
    return sum(len(sight.peak) == 1 for sight in sights) >= SHARED_BY * len(sights)


def shared_initial(sights: Sequence[Sight]) -> str:
    """Return the letter with which enough peaks begin, each of them a word or the beginning of
    one, with several different words among them; empty where there is none."""
    words = [sight.peak for sight in sights if not sight.previous.isalnum()]
    if not words:
        return ""
    letter, count = Counter(word[:1] for word in words).most_common(1)[0]
    several = len({word for word in words if word[:1] == letter}) >= LEAST_WORDS
    enough = count >= SHARED_BY * len(sights)
    return letter if letter.isalpha() and enough and several else ""


def holding(rules: Sequence[Rule], sights: Sequence[Sight]) -> str:
    """Return the name of the first rule that enough examples follow; empty where none is."""
    needed = SHARED_BY * len(sights)
    return next((name for name, holds in rules if sum(map(holds, sights)) >= needed), "")


def describe_previous(sights: Sequence[Sight]) -> str:
    """Name the sign that stands before the peak in enough examples; empty where none does."""
    sign, count = Counter(sight.previous for sight in sights).most_common(1)[0]
    is_sign = sign.isascii() and sign.isprintable() and sign.strip() and not sign.isalnum()
    return f" after “{sign}”" if is_sign and count >= SHARED_BY * len(sights) else ""


def shared_alternatives(examples: Sequence[Example]) -> tuple[tuple[int, ...], ...]:
    """Return the few longest runs of tokens ending at the peak that cover enough examples.

    A run has at least two tokens and is seen at least twice: one example alone is no pattern.
    """
    for length in range(CONTEXT, 1, -1):
        runs = runs_of(examples, length).most_common(ALTERNATIVES)
        repeated = [(run, count) for run, count in runs if count > 1]
        if sum(count for _, count in repeated) >= SHARED_BY * len(examples):
            return tuple(run for run, _ in repeated)
    return ()


def runs_of(examples: Sequence[Example], length: int) -> Counter[tuple[int, ...]]:
    """Count the runs of ``length`` tokens that end at the peaks."""
    return Counter(
        example.token_ids[example.peak - length + 1 : example.peak + 1]
        for example in examples
        if example.peak >= length - 1
    )


def shared_suffix(examples: Sequence[Example]) -> tuple[int, ...]:
    """Return the longest run of tokens ending at the peak that enough examples share."""
    best: tuple[int, ...] = ()
    for length in range(1, LONGEST_SUFFIX + 1):
        runs = runs_of(examples, length)
        if not runs:
            break
        run, count = runs.most_common(1)[0]
        if count < SHARED_BY * len(examples):
            break
        best = run
    return best
