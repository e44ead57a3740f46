"""The pages of documentation, taken apart: code blocks, links, commands."""

import re
from dataclasses import dataclass
from pathlib import Path

from tests.test_architecture import ROOT

PAGES = sorted(
    [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
        ROOT / "bench" / "README.md",
        *(ROOT / "docs").glob("*.md"),
    ]
)
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"^    (?=\S)(.*)$", flags=re.MULTILINE)


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@dataclass(frozen=True)
class Block:
    """A fenced block of a page, and the text block that follows it at once: its output."""

    page: Path
    language: str
    text: str
    output: str | None


def blocks_of(page: Path, language: str) -> list[Block]:
    """Return the page's blocks in a language, in order."""
    text = page.read_text(encoding="utf-8")
    found = list(FENCED.finditer(text))
    blocks = []
    for number, match in enumerate(found):
        if match[1] != language:
            continue
        follower = found[number + 1] if number + 1 < len(found) else None
        between = text[match.end() : follower.start()] if follower else "x"
        is_output = follower and follower[1] == "text" and not between.strip()
        blocks.append(Block(page, language, match[2], follower[2] if is_output else None))
    return blocks


def fenced(page: Path) -> list[tuple[str, str]]:
    """Return the language and the text of every fenced block of a page."""
    return FENCED.findall(page.read_text(encoding="utf-8"))


def prose_of(page: Path) -> str:
    """Return a page's text without its code blocks."""
    return FENCED.sub("", page.read_text(encoding="utf-8"))


def commands_of(page: Path) -> list[str]:
    """Return the lines of shell on a page: fenced, indented, or in a table or sentence."""
    shell = "\n".join(block.text for block in blocks_of(page, "sh")).replace("\\\n", " ")
    prose = prose_of(page)
    lines = [*shell.splitlines(), *(m[1] for m in INDENTED.finditer(prose))]
    lines += [re.sub(r"\s+", " ", code) for code in re.findall(r"`([^`]+)`", prose)]
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
