"""The imports that each room may have, the public names, and the files of the repository."""

import ast
import inspect
import re
import runpy
import subprocess
import sys
from collections import Counter
from pathlib import Path

import circuitscope_core
from circuitscope_core.export import read_canvas_file
from circuitscope_core.export.canvas import canvas_modules

CORE = Path(circuitscope_core.__file__).parent
ROOT = CORE.parent
# in the order that data flows
ROOMS = [
    "version",
    "values",
    "errors",
    "files",
    "devices",
    "initial_values",
    "arguments",
    "cores",
    "kept_values",
    "config",
    "stages",
    "tokenizer",
    "skills",
    "glossary",
    "corpus",
    "language_model",
    "transformer",
    "pretrained",
    "feature_dictionary",
    "transcoder",
    "neuron_dictionary",
    "transcoder_formats",
    "replacement",
    "read_point_fit",
    "answers",
    "prompt_pass",
    "training",
    "feature_cards",
    "global_weights",
    "graph",
    "attribution",
    "pruning",
    "circuit",
    "comparison",
    "supernodes",
    "interventions",
    "tracing",
    "bundle",
    "model_library",
    "view",
    "export",
    "graph_file",
    "evals",
    "notes",
    "pipeline",
    "launch",
    "batch",
    "cli",
]
DOORS = {"__init__", "__main__"}
MAX_LINES, MAX_PAGE_LINES = 400, 80


def python_files():
    return [
        path
        for folder in ("circuitscope_core", "pages", "tests", "bench")
        for path in (ROOT / folder).rglob("*.py")
    ] + [ROOT / "app.py"]


def script_files():
    return [
        path
        for folder in (CORE / "canvas", ROOT / "tests" / "canvas")
        for suffix in ("js", "ts")
        for path in folder.glob(f"*.{suffix}")
    ]


def room_of(path):
    return path.relative_to(CORE).parts[0].removesuffix(".py")


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


def test_every_room_has_its_place_in_the_order():
    found = {room_of(path) for path in CORE.rglob("*.py")} - DOORS
    assert found == set(ROOMS)


def test_every_import_points_upstream():
    wrong = [
        f"{path.relative_to(CORE)} imports {name}"
        for path in CORE.rglob("*.py")
        if room_of(path) not in DOORS
        for name in imports_of(path)
        if name.startswith("circuitscope_core.")
        and name.split(".")[1] != room_of(path)
        and ROOMS.index(name.split(".")[1]) > ROOMS.index(room_of(path))
    ]
    assert wrong == []


# rooms that fill records, and the bench that writes a known circuit's weights
MODEL_ROOMS = {"language_model", "transformer"}
WRITES_WEIGHTS = {"evals/known_circuits/compiled_model.py"}
INSIDE_A_MODEL = re.compile(
    r"\.block\(|\bW_U\b|\bln[12]\b|\bln_final\b|embed\.W_E|\.unembed\b|pos_embed\b|\.attn\b"
)


def test_nothing_outside_the_model_rooms_reaches_into_a_model():
    wrong = []
    for path in CORE.rglob("*.py"):
        name = path.relative_to(CORE).as_posix()
        if room_of(path) in MODEL_ROOMS or name in WRITES_WEIGHTS:
            continue
        for number, line in code_lines(path):
            if INSIDE_A_MODEL.search(line):
                wrong.append(f"{name}:{number}: {line.strip()}")
    assert wrong == []


def code_lines(path):
    """Return the numbered lines of a file that are neither texts nor comments."""
    source = path.read_text(encoding="utf-8")
    texts = {
        line
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        for line in range(node.lineno, node.end_lineno + 1)
    }
    return [
        (number, line.split("#")[0])
        for number, line in enumerate(source.splitlines(), start=1)
        if number not in texts
    ]


def test_importing_the_core_loads_no_app_framework():
    # an installed snowpark registers the bare name "snowflake" in every interpreter
    unwanted = ("streamlit", "transformers", "snowflake.snowpark", "snowflake.connector")
    assert_not_loaded("import circuitscope_core", unwanted)


def test_a_graph_of_a_bundle_loads_nothing_that_it_does_not_need():
    # together they take as long to load as all the rest
    unwanted = ("torch._dynamo", "sympy", "pandas", "networkx", "scipy")
    code = """
import circuitscope_core as cs
bundle = cs.load_bundle("models/demo")
assert cs.attribute(bundle.replacement, "The National").n_features
"""
    assert_not_loaded(code, unwanted)


def assert_not_loaded(code, unwanted):
    loaded = f"[name for name in {unwanted} if name in sys.modules]"
    code = f"import sys\n{code}\nassert not {loaded}, {loaded}"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_every_public_name_is_exported():
    public = {
        name
        for name, value in vars(circuitscope_core).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert public == set(circuitscope_core.__all__)
    assert list(circuitscope_core.__all__) == sorted(circuitscope_core.__all__)


def test_no_file_is_long():
    files = [*python_files(), *script_files()]
    sizes = {path.relative_to(ROOT): len(path.read_text("utf-8").splitlines()) for path in files}
    long = {
        str(path): size
        for path, size in sizes.items()
        if size > (MAX_PAGE_LINES if path.parent == Path("pages") else MAX_LINES)
    }
    assert long == {}


def test_modules_of_the_canvas_do_not_import_each_other_in_a_circle():
    for path in (CORE / "canvas").glob("*.js"):
        order = canvas_modules(path.name)
        for number, name in enumerate(order):
            direct = set(re.findall(r"from '\./(\w+\.js)'", read_canvas_file(name)))
            assert direct <= set(order[:number]), name


def test_no_script_of_the_canvas_runs_text_or_loads_anything():
    calls = re.compile(r"\b(eval\(|new Function|innerHTML|insertAdjacentHTML|fetch\(|import\()")
    wrong = [
        f"{path.name}: {line.strip()}"
        for path in (CORE / "canvas").glob("*.js")
        for line in path.read_text(encoding="utf-8").splitlines()
        if calls.search(line)
    ]
    assert wrong == []


def test_nothing_that_runs_code_is_used_to_read_a_model():
    calls = re.compile(r"\b(torch\.load|pickle\.|yaml\.load\(|eval\(|exec\()")
    wrong = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for folder in (CORE, ROOT / "pages")
        for path in folder.rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if calls.search(line) and ".eval()" not in line
    ]
    assert wrong == []


def test_the_commands_of_the_readme_exist():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"`make ([a-z-]+)`", readme)) | set(
        re.findall(r"^make ([a-z-]+)", readme, flags=re.MULTILINE)
    )
    assert {"app", "test"} <= named
    assert named <= targets


def test_modules_are_found_by_their_names():
    """A name may stand twice, in the core and in a page's parts, say, and not again and again."""
    pages = {path.name for path in (ROOT / "pages").glob("*.py")}
    folders = (ROOT / "circuitscope_core", ROOT / "pages" / "ui")
    names = Counter(path.name for folder in folders for path in folder.rglob("*.py"))
    often = {name: n for name, n in names.items() if n > 2 and name != "__init__.py"}
    assert often == {}
    assert {name for name in pages if names[name] > 2} == set()


def test_the_pictures_of_the_readme_exist():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    pictures = re.findall(r"\]\((docs/[^)]+\.(?:png|svg|webp))\)", readme)
    assert pictures
    assert [name for name in pictures if not (ROOT / name).is_file()] == []


def test_the_picture_of_the_rooms_is_that_of_the_code():
    namespace = runpy.run_path(str(ROOT / "docs" / "make_rooms.py"))
    assert (ROOT / "docs" / "rooms.svg").read_text(encoding="utf-8") == namespace["draw"]()


def test_the_architecture_names_every_room_and_only_files_that_exist():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    words = set(re.findall(r"`([A-Za-z_./]+)`", text))
    named = {word.split("/")[0].removesuffix(".py") for word in words}
    named |= {word.split("/")[1].removesuffix(".py") for word in words if word.count("/") > 0}
    assert set(ROOMS) - named == set()
    paths = [word for word in words if "/" in word and "." in word.split("/")[-1]]
    homes = (ROOT, CORE, ROOT / "pages")
    assert [path for path in paths if not any((home / path).exists() for home in homes)] == []
