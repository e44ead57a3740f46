"""The front page is short and repeats what the reports measured; the guides name what exists."""

import ast
import re

import pytest

import circuitscope_core as cs
from circuitscope_core.glossary import FIGURES
from circuitscope_core.version import __version__
from tests.docs.pages import prose_of
from tests.test_architecture import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
MAX_LINES = 120


def names_of_code():
    """Return the names of modules, classes, functions, arguments and variables, without _."""
    files = [
        path for room in ("circuitscope_core", "pages") for path in (ROOT / room).rglob("*.py")
    ]
    nodes = (node for path in files for node in ast.walk(ast.parse(path.read_text("utf-8"))))
    fields = ("name", "id", "arg", "attr")
    words = {getattr(node, field, None) for node in nodes for field in fields}
    words |= {part for path in files for part in path.with_suffix("").relative_to(ROOT).parts}
    return {word.replace("_", "").lower() for word in words if isinstance(word, str)}


def glossary():
    """Return each term of the glossary with its meaning, as written."""
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    found = re.findall(r"^\*\*([^*]+)\*\* — (.+?)(?=\n\n|\Z)", text, re.MULTILINE | re.DOTALL)
    assert len(dict(found)) == len(found) > 50, "a term has two entries"
    return dict(found)


def cells(row):
    return [re.sub(r"\*\*", "", cell).strip() for cell in row.strip().strip("|").split("|")]


def section(text, title):
    return text.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_the_readme_is_short_and_shows_a_picture():
    lines = README.splitlines()
    assert len(lines) <= MAX_LINES
    assert any(line.startswith("![") for line in lines[:10])


def test_the_comparison_is_that_of_the_measurements_and_of_the_comparison_page():
    table = [line for line in section(README, "Beside circuit-tracer and Neuronpedia").splitlines()]
    header, _, speed, *rows = [cells(line) for line in table if line.startswith("|")]
    assert header[1:] == ["CircuitScope", "circuit-tracer", "Neuronpedia"]
    bench = (ROOT / "bench" / "README.md").read_text(encoding="utf-8")
    preset = bench[bench.index("| b: 12 layers, width 256") :]
    ours, theirs = (cells(line)[3] for line in preset.splitlines()[:2])
    assert speed[1:] == [ours, theirs, "not measured"]
    page = (ROOT / "docs" / "comparison.md").read_text(encoding="utf-8")
    known = {cells(line)[1]: cells(line) for line in page.splitlines() if line.startswith("| ")}
    names = known["capability"]
    places = [names.index(tool) for tool in ("CS", "CT", "NP")]
    assert len(rows) == 4
    for name, *said in rows:
        assert said == [known[name][place] for place in places], name


@pytest.mark.parametrize(
    ("number", "page", "row"),
    [
        ("24,921 of 24,921", "docs/benchmarks.md", "live component edges and no other"),
        ("0.95", "docs/faithfulness.md", "ranked by ablation in the replacement ≥ 0.85 | 0.95"),
        ("62 %", "docs/faithfulness.md", "predicted flips that happen ≥ 0.75 | 0.62"),
        ("90 %", "docs/faithfulness.md", "0.90 (0.79 to 0.97) where the replacement confirms"),
    ],
)
def test_the_three_numbers_are_those_of_the_reports(number, page, row):
    assert number in section(README, "Is it right?")
    assert row in (ROOT / page).read_text(encoding="utf-8")


def test_the_changes_have_this_version():
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## \[([^\]]+)\]", changes, flags=re.MULTILINE)
    assert versions[:2] == ["Unreleased", __version__]


def test_every_path_that_the_guide_to_contributing_names_is_there():
    named = re.findall(r"`([\w./-]+)`", prose_of(CONTRIBUTING))
    paths = [name for name in named if "/" in name or name.endswith((".py", ".md"))]
    assert len(paths) > 15
    made = {"data/pile", "out/reference", "tests/canvas"}
    assert [p for p in paths if p not in made and not (ROOT / p).exists()] == []


def test_the_guide_to_contributing_names_what_the_code_has():
    assert "LAYOUTS" in (ROOT / "circuitscope_core/transcoder_formats/load.py").read_text()
    assert "PAGES" in (ROOT / "pages/ui/shared/menu.py").read_text()
    said = CONTRIBUTING.read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    told = set(re.findall(r"make ([a-z-]+)", said + README))
    told |= set(re.findall(r"make ([a-z-]+)", (ROOT / "docs" / "recipes.md").read_text()))
    assert targets - told == set(), "a make target that no guide names"


def test_the_long_tests_that_the_fast_run_leaves_out_are_there():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    (names,) = re.findall(r"^LONG := (.+)$", makefile, flags=re.MULTILINE)
    assert len(names.split()) > 10
    for name in names.split():
        assert (ROOT / "tests" / "unit" / f"test_{name}.py").is_file(), name


def test_the_glossary_has_every_term_once_and_every_figure_as_the_app_says_it():
    meanings = glossary()
    for key, figure in FIGURES.items():
        if not key.startswith("exam."):
            assert meanings[figure.name].strip() == figure.meaning


def test_the_code_uses_the_words_of_the_glossary():
    code, figures = names_of_code(), {figure.name for figure in FIGURES.values()}
    for terms, meaning in glossary().items():
        if terms in figures or terms.startswith("Exam: "):
            continue
        for term in re.split(r", or |, ", re.sub(r" \([^)]*\)", "", terms)):
            joined = re.sub(r"[^a-z]", "", term.lower())
            named = re.findall(r"`(\w+)`", meaning)  # a term that the code says otherwise names it
            assert any(joined in name for name in code) or (named and set(named) & set(dir(cs))), (
                term
            )


def test_pages_use_one_word_for_features():
    """Another tool's word for a feature stands in the glossary, and in readers of its files."""
    elsewhere = re.compile(r"\blatents?\b", re.IGNORECASE)
    for path in [*(ROOT / "docs").glob("*.md"), *(ROOT / "pages").rglob("*.py")]:
        if path.name != "glossary.md":
            assert not elsewhere.search(path.read_text(encoding="utf-8")), path.name
