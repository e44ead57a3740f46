"""Files on their way to a Snowflake stage: local names are names, and no patterns."""

import tempfile

import pytest

pytestmark = pytest.mark.contract


@pytest.mark.parametrize("name", ["tmp[1]", "tmp*", "tmp?", "tmp[!a]"])
def test_a_temporary_folder_with_the_signs_of_patterns_is_a_folder(
    store,
    files,
    name,
    tmp_path,
    monkeypatch,
):
    place = tmp_path / name
    place.mkdir()
    (tmp_path / "a.parquet").write_text("text")
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    store.put(tmp_path / "a.parquet", "there/a.parquet")
    assert (files / "there" / "a.parquet").read_text() == "text"


@pytest.mark.parametrize("name", ["sample[ng].parquet", "[x]", "a[1][2].txt"])
def test_a_file_with_brackets_arrives_under_its_name(store, files, name, tmp_path):
    (tmp_path / name).write_text("text")
    store.put(tmp_path / name, name)
    assert (files / name).read_text() == "text"
    assert store.get(name, tmp_path).read_text() == "text"
