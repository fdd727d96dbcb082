"""Files of computed arrays."""

import numpy as np
import pytest

from molrate.files.kept import DamagedError, read_kept, write_kept


def test_arrays_and_texts_come_back_as_they_were(tmp_path):
    arrays = {
        "table": np.array([[1.0, np.nan], [-0.0, np.inf]]),
        "none": np.empty(0),
        "view": np.arange(12.0).reshape(3, 4).T,
    }
    write_kept(tmp_path / "new" / "a.safetensors", arrays, {"b": "two", "a": "µ"})
    found, texts = read_kept(tmp_path / "new" / "a.safetensors")
    assert texts == {"b": "two", "a": "µ"}
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.safetensors"]


@pytest.mark.parametrize("place", [-1, -9, 40])
def test_a_changed_byte_is_damage(tmp_path, place):
    path = tmp_path / "a.safetensors"
    write_kept(path, {"x": np.arange(4.0)}, {"said": "something"})
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedError):
        read_kept(path)


def test_a_cut_file_is_damage(tmp_path):
    path = tmp_path / "a.safetensors"
    write_kept(path, {"x": np.arange(4.0)}, {})
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(DamagedError):
        read_kept(path)


def test_a_folder_that_cannot_be_written_is_said(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    write_kept(tmp_path / "file" / "a.safetensors", {"x": np.arange(4.0)}, {})
    assert "cannot be written" in caplog.text
