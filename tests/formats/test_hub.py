"""Transcoders on the hub: asked for on this machine first, and fetched only if they are not."""

import pytest

import circuitscope_core as cs
from tests.formats import layouts

hub = pytest.importorskip("huggingface_hub")
from huggingface_hub.errors import LocalEntryNotFoundError  # noqa: E402  # after importorskip


class Hub:
    """The hub's two functions, over a folder."""

    def __init__(self, folder, *, here):
        self.folder, self.here, self.asked = folder, here, []

    def snapshot_download(self, repo_id, *, local_files_only=False, **wanted):
        return self._answer(repo_id, self.folder, local_files_only, wanted)

    def hf_hub_download(self, repo_id, filename, *, local_files_only=False, **wanted):
        return self._answer(repo_id, self.folder / filename, local_files_only, wanted)

    def _answer(self, repo_id, path, local, wanted):
        self.asked.append((repo_id, local, wanted.get("revision")))
        if local and not self.here:
            raise LocalEntryNotFoundError("not here")
        return str(path)


@pytest.fixture
def answer(monkeypatch, tmp_path):
    def answer(*, here):
        found = Hub(tmp_path, here=here)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        for name in ("snapshot_download", "hf_hub_download"):
            monkeypatch.setattr(hub, name, getattr(found, name))
        return found

    return answer


@pytest.mark.parametrize("here", [True, False])
def test_a_folder_of_the_hub_is_a_transcoder(answer, tmp_path, here):
    found = answer(here=here)
    layouts.gemma_scope_2(tmp_path / "transcoder_all")
    transcoder = cs.load_transcoder("hf://google/some-set/transcoder_all@main")
    assert transcoder.config.read_point == "in"
    asked = [("google/some-set", True, "main")]
    assert found.asked == (asked if here else [*asked, ("google/some-set", False, "main")])


def test_another_part_of_a_repository_on_this_machine_is_not_enough(answer):
    found = answer(here=True)
    with pytest.raises(cs.BundleError, match="is not there; give a transcoder's folder"):
        cs.load_transcoder("hf://google/some-set/transcoder_all")
    assert [local for _, local, _ in found.asked] == [True, False]


def test_a_list_of_files_is_fetched_file_by_file(answer, tmp_path):
    found = answer(here=True)
    layouts.gemma_scope_1(tmp_path)
    paths = sorted(tmp_path.glob("layer_*/**/params.npz"))
    files = [f"hf://google/scope/{path.relative_to(tmp_path).as_posix()}" for path in paths]
    settings = {
        "model_kind": "transcoder_set",
        "model_name": "google/gemma-2-2b",
        "feature_input_hook": "ln2.hook_normalized",
        "feature_output_hook": "hook_mlp_out",
        "transcoders": files,
    }
    listed = tmp_path / "list"
    layouts.write_yaml(settings, listed / "config.yaml")
    config = cs.load_transcoder(listed).config
    assert (config.n_layers, config.read_point, config.write_point) == (2, "unit", "added")
    assert found.asked == [("google/scope", True, None)] * 2
