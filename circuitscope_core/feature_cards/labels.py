"""Labels by rule: what a feature's strongest examples share, and what it promotes."""

from collections import Counter
from collections.abc import Sequence

from circuitscope_core.feature_cards.cards import Example
from circuitscope_core.tokenizer import Tokenizer

SHARED_BY = 0.75
"""Share of the examples that must agree for a rule to hold."""
LONGEST_SUFFIX = 14
"""Tokens up to the peak that a label may quote."""
CLASSES = (
    ("a digit", str.isdigit),
    ("a capital letter", str.isupper),
    ("a small letter", str.islower),
    ("white space", str.isspace),
)


def show(text: str) -> str:
    """Return text with line ends, tabs and outer spaces made visible."""
    shown = text.replace("\n", "⏎").replace("\t", "⇥").replace("\r", "␍")
    return shown if shown.strip() == shown else shown.replace(" ", "␣")


def label_feature(
    tokenizer: Tokenizer, examples: Sequence[Example], top_tokens: Sequence[int]
) -> str:
    """Describe a feature by the text its strongest examples share and the token it promotes most.

    Returns:
        For example ``“(N” → “D”`` or ``a digit → “,”``.
    """
    strongest = [example for example in examples if example.kind == "top"]
    reads = describe_input(tokenizer, strongest)
    says = f"→ “{show(tokenizer.token_text(top_tokens[0]))}”" if top_tokens else ""
    return " ".join(part for part in (reads, says) if part)


def describe_input(tokenizer: Tokenizer, examples: Sequence[Example]) -> str:
    """Name what most examples have in common at the peak; empty without examples."""
    if not examples:
        return ""
    suffix = shared_suffix(examples)
    if suffix:
        return f"“{show(tokenizer.decode(list(suffix)))}”"
    peaks = [tokenizer.token_text(example.token_ids[example.peak]) for example in examples]
    for name, holds in CLASSES:
        if sum(map(holds, peaks)) >= SHARED_BY * len(peaks):
            return name
    common = [show(text) for text, _ in Counter(peaks).most_common(3)]
    return "one of “" + "”, “".join(common) + "”"


def shared_suffix(examples: Sequence[Example]) -> tuple[int, ...]:
    """Return the longest run of tokens ending at the peak that enough examples share."""
    best: tuple[int, ...] = ()
    for length in range(1, LONGEST_SUFFIX + 1):
        runs = Counter(
            example.token_ids[example.peak - length + 1 : example.peak + 1]
            for example in examples
            if example.peak >= length - 1
        )
        if not runs:
            break
        run, count = runs.most_common(1)[0]
        if count < SHARED_BY * len(examples):
            break
        best = run
    return best
