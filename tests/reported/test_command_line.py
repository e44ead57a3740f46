"""The shell commands on odd consoles, closed pipes, and places that cannot be used."""

import json
import os
import subprocess
import sys

import pytest

import circuitscope_core as cs
from circuitscope_core.cli import main, read_config
from tests.reported.running import ROOT, run
from tests.unit.test_bundle import make_bundle

TEXT = ["--prompt", "The café (N"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return cs.save_bundle(make_bundle(), tmp_path_factory.mktemp("models") / "tiny")


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "cp850", "utf-8"])
def test_a_console_of_another_encoding_shows_what_it_can(bundle, encoding):
    done = run("trace", "--bundle", bundle, *TEXT, text=False, env={"PYTHONIOENCODING": encoding})
    assert (done.returncode, done.stderr) == (0, b"")
    said = done.stdout.decode(encoding)
    assert "Strongest paths" in said
    assert ("→" in said) == (encoding == "utf-8")
    assert ("café" in said) == (encoding != "ascii")


def test_a_closed_pipe_ends_a_command_quietly(bundle):
    reading, writing = os.pipe()
    os.close(reading)
    done = run("trace", "--bundle", bundle, *TEXT, stdout=writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("option", ["--graph", "--html", "--svg", "--save", "--viewer"])
@pytest.mark.parametrize("place", ["file/x", "/dev/null/x"])
def test_a_place_that_cannot_be_written_is_told_in_json(bundle, option, place, tmp_path, capsys):
    (tmp_path / "file").touch()
    asked = ["trace", "--bundle", str(bundle), *TEXT, option, str(tmp_path / place), "--json"]
    assert main(asked) == 1
    answer = json.loads(capsys.readouterr().out)
    assert str(tmp_path / "file") in answer["error"] or "/dev/null" in answer["error"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["trace", "--prompts", "{file}", "--out", "{file}/x"],
        ["trace", "--prompts", "{folder}", "--out", "{folder}/x"],
        ["trace", "--bundle", "{file}/x"],
        ["copy", "{bundle}", "{file}"],
        ["copy", "{bundle}", "{file}/x"],
        ["train", "--out", "{file}"],
        ["train", "--out", "{file}/x"],
        ["train", "--out", "/dev/null/x"],
        ["train", "--config", "{folder}"],
        ["train", "--source", "{file}/x.parquet", "--out", "{folder}/new"],
        ["info", "--bundle", "{file}"],
        ["check", "{folder}"],
        ["models", "list", "--models", "{file}/x"],
        ["models", "add", "{file}/x", "--models", "{folder}/models"],
    ],
)
def test_no_error_of_the_system_comes_raw(bundle, arguments, tmp_path, capsys):
    file, folder = tmp_path / "file", tmp_path / "folder"
    file.write_text("The (N\n")
    folder.mkdir()
    named = {"file": file, "folder": folder, "bundle": bundle}
    if arguments[:2] == ["trace", "--prompts"]:
        arguments = [*arguments, "--bundle", "{bundle}"]
    status = main([*(word.format(**named) for word in arguments), "--json"])
    last = capsys.readouterr().out.splitlines()[-1]
    if arguments[:2] == ["models", "list"]:
        assert (status, json.loads(last)) == (0, [])
        return
    assert status == 1
    problem = json.loads(last)["error"]
    assert problem.endswith(".")
    assert "Errno" not in problem
    assert file.read_text() == "The (N\n"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
def test_rights_that_are_missing_are_named(bundle, tmp_path, capsys):
    tmp_path.chmod(0o500)
    assert main(["trace", "--bundle", str(bundle), *TEXT, "--graph", str(tmp_path / "g")]) == 1
    assert "Permission denied" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--graph", "--html", "--svg", "--save", "--viewer", "--out"])
@pytest.mark.parametrize(("place", "said"), [("-", "- is no file"), ("", "The path is empty")])
def test_a_file_of_no_name_or_named_as_the_output_is_refused(option, place, said, capsys):
    with pytest.raises(SystemExit):
        main(["trace", option, place])
    assert said in capsys.readouterr().err


def test_a_file_whose_name_is_a_hyphen_can_be_named(bundle, tmp_path):
    done = run("trace", "--bundle", bundle, *TEXT, "--graph", f"{tmp_path}/./-")
    assert done.returncode == 0
    assert cs.read_graph_file(tmp_path / "-").prompt == TEXT[1]


def test_a_graph_goes_to_the_output_that_is_a_file(bundle, tmp_path):
    with (tmp_path / "out").open("wb") as out:
        done = run("trace", "--bundle", bundle, *TEXT, "--graph", "/dev/stdout", stdout=out)
    assert done.returncode == 0
    said = (tmp_path / "out").read_text()
    assert said.count('"schema_version": 1') == 1
    assert said.splitlines()[-1] == "Wrote /dev/stdout"


def test_the_folder_of_a_model_to_be_is_looked_at_before_any_text_is_read(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    for place, said in (
        (tmp_path, "exists and is no model"),
        (tmp_path / "notes.txt", "is a file"),
        (tmp_path / "notes.txt" / "x", "Not a directory"),
        ("@stage/x", "is a place in a stage"),
    ):
        assert main(["train", "--out", str(place), "--json"]) == 1
        (line,) = capsys.readouterr().out.splitlines()
        assert said in json.loads(line)["error"]
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_training_that_was_begun_does_not_hide_an_obstacle(tmp_path, capsys):
    run_folder = tmp_path / ".runs" / "mine"
    run_folder.mkdir(parents=True)
    (run_folder / "training.json").write_text("{}")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    assert main(["train", "--out", str(tmp_path / "mine")]) == 1
    assert "exists and is no model" in capsys.readouterr().err


def test_little_memory_is_said_in_a_sentence(bundle):
    script = (
        "import resource, sys\n"
        "from circuitscope_core.cli import main\n"
        "arguments = sys.argv[1:]\n"
        "assert main(arguments) == 0\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 2**20, used + 2**20))\n"
        "sys.exit(main(arguments))\n"
    )
    asked = ["trace", "--bundle", str(bundle), "--prompt", "The (N" * 3, "--ablate", "never"]
    done = subprocess.run(
        [sys.executable, "-c", script, *asked],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "There is too little memory for this." in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("mark", ["utf-8-sig", "utf-16", "utf-8"])
def test_settings_from_any_editor_are_read(mark, tmp_path):
    file = tmp_path / "settings.json"
    file.write_text('{\r\n"seed": 7\r\n}', encoding=mark)
    assert read_config(file, []).seed == 7


@pytest.mark.parametrize("mark", ["utf-8-sig", "utf-16", "utf-8"])
@pytest.mark.parametrize("kind", ["txt", "jsonl"])
def test_prompts_from_any_editor_are_read(bundle, mark, kind, tmp_path, capsys):
    lines = ["The café", "The dog"] if kind == "txt" else ['"The café"', '"The dog"']
    (tmp_path / f"prompts.{kind}").write_bytes(("\r\n".join(lines) + "\r\n").encode(mark))
    asked = ["trace", "--bundle", str(bundle), "--prompts", str(tmp_path / f"prompts.{kind}")]
    assert main([*asked, "--out", str(tmp_path / "out"), "--json"]) == 0
    told = [json.loads(line)["prompt"] for line in capsys.readouterr().out.splitlines()]
    assert told == ["The café", "The dog"]


def test_a_file_in_an_older_encoding_is_refused_with_advice(bundle, tmp_path, capsys):
    (tmp_path / "prompts.txt").write_bytes("The café\r\n".encode("cp1252"))
    asked = ["trace", "--bundle", str(bundle), "--prompts", str(tmp_path / "prompts.txt")]
    assert main([*asked, "--out", str(tmp_path / "out")]) == 1
    assert "byte 7 is 0xe9. Save it as UTF-8" in capsys.readouterr().err


def test_the_section_of_a_setting_is_named(capsys):
    assert main(["train", "--set", "text_column=body"]) == 1
    assert "there is corpus.text_column" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--repeat", "--questions", "--prompts", "--inputs"])
@pytest.mark.parametrize("number", ["0", "-3", "2.5", "many"])
def test_a_count_below_1_is_refused(option, number, capsys):
    with pytest.raises(SystemExit):
        main(["bench", "speed", option, number])
    assert f"{option}: {number!r} is no whole number above 0" in capsys.readouterr().err
