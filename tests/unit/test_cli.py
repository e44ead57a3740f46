"""The shell commands, run as a user runs them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import circuitscope_core as cs
from circuitscope_core.cli import build_parser, main, read_config
from tests.texts import tiny_config, write_parquet
from tests.unit.graph_file_samples import small_graph
from tests.unit.test_bundle import make_bundle

ROOT = Path(__file__).parents[2]


def run(*arguments, **options):
    command = [sys.executable, "-m", "circuitscope_core", *map(str, arguments)]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False, **options
    )


@pytest.fixture
def bundle(tmp_path):
    return cs.save_bundle(make_bundle(), tmp_path / "tiny")


@pytest.fixture
def settings(tmp_path):
    path = tmp_path / "settings.json"
    path.write_text(json.dumps(tiny_config().to_json()))
    return path


def test_trace_prints_prediction_scores_nodes_and_paths_as_json(bundle, tmp_path):
    page, graph, picture = tmp_path / "g.html", tmp_path / "g.json", tmp_path / "g.svg"
    files = ["--html", page, "--graph", graph, "--svg", picture]
    done = run("trace", "--bundle", bundle, "--prompt", "The (N", "--json", *files)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert 0 < found["prediction"][0]["probability"] < 1
    assert '"story":{' in page.read_text(encoding="utf-8")
    assert set(found["scores"]) == {"replacement", "completeness", "completeness_circuit_tracer"}
    assert found["nodes"]["tokens"] == 7
    assert found["paths"]
    bits = [feature["ablation_bits"] for feature in found["features"]]
    assert bits == sorted(bits, reverse=True)
    assert found["not_ablated"] == ""
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert json.loads(graph.read_text())["metadata"]["schema_version"] == 1
    assert picture.read_text().startswith("<svg")


def test_trace_speaks_to_people_without_json(bundle, capsys):
    assert main(["trace", "--bundle", str(bundle), "--prompt", "The (N"]) == 0
    text = capsys.readouterr().out
    for word in ("Next token", "Nodes", "Scores", "switching each off", "Strongest paths"):
        assert word in text
    assert main(["trace", "--bundle", str(bundle), "--prompt", "The (N", "--ablate", "never"]) == 0
    assert "settings say never.\nFeatures by influence" in capsys.readouterr().out


@pytest.mark.parametrize("as_json", [True, False])
def test_an_error_is_one_sentence_and_exit_status_1(tmp_path, as_json):
    done = run("trace", "--bundle", tmp_path / "nope", *(["--json"] if as_json else []))
    assert done.returncode == 1
    said = json.loads(done.stdout)["error"] if as_json else done.stderr
    assert "is no bundle" in said
    assert "Traceback" not in done.stderr


def test_check_says_what_a_file_holds_and_draws_it(bundle, tmp_path, capsys):
    graph, page, picture = (str(tmp_path / name) for name in ("g.json", "g.html", "g.svg"))
    trace = ["trace", "--bundle", str(bundle), "--prompt", "The (N", "--graph", graph, "--json"]
    assert main(trace) == 0
    traced = json.loads(capsys.readouterr().out)
    assert main(["check", graph, "--html", page, "--svg", picture, "--json"]) == 0
    held = json.loads(capsys.readouterr().out)
    assert held["prompt"] == traced["prompt"]
    assert held["generator"] == f"CircuitScope {cs.__version__}"
    assert sum(held["nodes"].values()) == traced["nodes"]["kept"]
    assert held["links"] == traced["edges"]["kept"]
    assert Path(page).read_text().startswith("<!DOCTYPE html>")
    assert Path(picture).read_text().startswith("<svg")
    assert main(["check", graph, "--svg", picture]) == 0
    said = capsys.readouterr().out
    assert f"Wrote {picture}" in said
    assert f"Links       {held['links']:,} over 2 layers" in said


@pytest.mark.parametrize("as_json", [True, False])
def test_check_names_every_reason_and_writes_nothing(tmp_path, as_json):
    data = small_graph()
    data["links"][0]["weight"] = float("nan")
    data["nodes"][2]["layer"] = "x"
    path, page = tmp_path / "bad.json", tmp_path / "bad.html"
    path.write_text(json.dumps(data))
    done = run("check", path, "--html", page, *(["--json"] if as_json else []))
    assert done.returncode == 1
    said = json.loads(done.stdout)["error"] if as_json else done.stderr
    assert "2 things are wrong" in said
    assert "links[0]: weight is NaN" in said
    assert "nodes[2] ('0_5_0'): layer is 'x'" in said
    assert not page.exists()


def test_info_and_bench_describe_a_bundle(bundle, capsys):
    assert main(["info", "--bundle", str(bundle), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["model"]["n_layers"] == 2
    assert facts["metrics"] == {"l0": 1.0}
    assert main(["bench", "--bundle", str(bundle), "--prompt", "ab", "--repeat", "1"]) == 0
    assert "attribution_seconds" in capsys.readouterr().out


@pytest.mark.slow
def test_estimate_times_the_settings_given(settings, capsys):
    assert main(["estimate", "--config", str(settings), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    config = tiny_config()
    tokens = {
        "language_model": config.language_model_training.n_tokens,
        "transcoder": config.transcoder_training.n_tokens,
        "feature_cards": config.feature_cards.n_tokens,
    }
    assert set(found["seconds"]) == set(found["seconds_per_token"]) == set(tokens)
    for phase, rate in found["seconds_per_token"].items():
        assert rate > 0
        assert found["seconds"][phase] == pytest.approx(rate * tokens[phase])
    assert main(["estimate", "--config", str(settings)]) == 0
    assert "total: " in capsys.readouterr().out


def test_train_writes_a_bundle_that_trace_reads(tmp_path, settings):
    source = write_parquet(tmp_path / "t.parquet")
    out = tmp_path / "models" / "mine"
    done = run("train", "--source", source, "--out", out, "--config", settings)
    assert done.returncode == 0, done.stderr
    assert f"Saved {out}" in done.stdout
    assert f"--source {source}" in cs.load_bundle(out).metadata.command
    assert run("trace", "--bundle", out, "--prompt", "The mill").returncode == 0


@pytest.mark.slow
def test_a_terminated_training_saves_a_checkpoint_and_resumes(tmp_path, settings):
    source = write_parquet(tmp_path / "t.parquet")
    out = tmp_path / "models" / "mine"
    arguments = ["--source", source, "--out", str(out), "--config", str(settings), "--json"]
    longer = ["--set", "language_model_training.n_tokens=200000"]
    command = [sys.executable, "-m", "circuitscope_core", "train", *arguments, *longer]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if json.loads(line)["event"] == "Progress":
                os.kill(process.pid, signal.SIGTERM)
                break
        process.stdout.read()
    assert process.returncode == 130
    events = (out.parent / ".runs" / "mine" / "events.jsonl").read_text().splitlines()
    assert json.loads(events[-1])["event"] == "TrainingCancelled"
    started = time.monotonic()
    resumed = run("train", *arguments, *longer)
    assert resumed.returncode == 0, resumed.stderr
    begun = [json.loads(line) for line in resumed.stdout.splitlines()]
    phase = next(e for e in begun if e["event"] == "PhaseStarted" and "model" in e["phase"])
    assert phase["first_step"] > 0
    assert time.monotonic() - started < 100


def test_settings_come_from_a_file_and_single_items(tmp_path):
    file = tmp_path / "s.json"
    file.write_text('{"corpus": {"skill_share": 0.3}, "seed": 7}')
    config = read_config(file, ["transcoder.d_transcoder=99", "feature_cards.excerpts=none"])
    assert (config.seed, config.corpus.skill_share) == (7, 0.3)
    assert (config.transcoder.d_transcoder, config.feature_cards.excerpts) == (99, "none")


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("nonsense", "no setting 'nonsense'"),
        ("corpus.nope=1", r"no setting 'corpus\.nope=1'"),
        ("corpus.skill_share=2", r"skill_share is 2\.0; it must be from 0 to below 1"),
        ("transcoder.d_model=32", "d_model is 32 and model.d_model is 96; they must be equal"),
        ("seed=x", "seed is 'x'; it must be of type int"),
    ],
)
def test_a_wrong_setting_says_what_is_wrong(item, message):
    with pytest.raises(cs.ConfigError, match=message):
        read_config(None, [item])


@pytest.mark.parametrize("command", ["train", "estimate", "trace", "check", "info", "bench"])
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as stop:
        build_parser().parse_args([command, "--help"])
    assert stop.value.code == 0
    assert "--json" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["graph", "html", "svg", "save", "viewer"])
def test_files_of_one_graph_are_refused_for_several_prompts(bundle, tmp_path, capsys, name):
    command = ["trace", "--bundle", str(bundle), "--prompt", "The (N", "--prompt", "A (B"]
    out = tmp_path / "out"
    assert main([*command, "--out", str(out), f"--{name}", str(tmp_path / "x")]) == 1
    assert f"--{name} writes one prompt's graph" in capsys.readouterr().err
    assert not out.exists()


def test_the_folder_of_models_is_the_apps_own(tmp_path, monkeypatch, capsys):
    (tmp_path / "other").symlink_to(ROOT / "models" / "demo")
    monkeypatch.setenv("CIRCUITSCOPE_MODELS", str(tmp_path))
    assert main(["models", "list", "--json"]) == 0
    assert [model["name"] for model in json.loads(capsys.readouterr().out)] == ["other"]
    for command in (["train"], ["train-transcoder", "--model", "x"]):
        options = build_parser().parse_args([*command, "--source", "builtin"])
        assert Path(options.out) == tmp_path / "mine"
    monkeypatch.delenv("CIRCUITSCOPE_MODELS")
    assert main(["models", "list", "--models", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["name"] == "other"
