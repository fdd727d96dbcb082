import json

import pytest

from molrate.errors import InputError, UsageError
from molrate.files.requests import (
    REQUEST,
    differences,
    extend_request,
    make_request,
    note_request,
    read_request,
    refuse_another,
    take_up,
)


def request(**content):
    return make_request("finetune", 1, **{"seed": 0, "settings": {"rate": 0.1, "layers": (1, 2)}, **content})


def test_the_same_request_is_taken_up_and_another_is_refused_with_both_values(tmp_path):
    assert not take_up(tmp_path / "none", request())
    note_request(tmp_path / "run", request())
    assert take_up(tmp_path / "run", request())
    with pytest.raises(
        UsageError, match=r"seed \(0 before, 5 now\); settings\.rate \(0\.1 before, 0\.2 now\)"
    ):
        take_up(tmp_path / "run", request(seed=5, settings={"rate": 0.2, "layers": [1, 2]}))
    with pytest.raises(UsageError, match=r"weights \(none before, abc now\)"):
        take_up(tmp_path / "run", request(weights="abc"))


@pytest.mark.parametrize("library", ["rdkit", "torch", "numpy", "scikit-learn", "molrate"])
def test_versions_are_part_of_a_request(library):
    earlier = request()
    earlier["versions"][library] = "2020.09"
    with pytest.raises(UsageError, match=rf"versions\.{library} \(2020\.09 before"):
        refuse_another("-o run", earlier, request())


def test_another_format_is_named_alone():
    with pytest.raises(
        UsageError, match=r"format 1, and this version of molrate writes format 2; name"
    ) as error:
        refuse_another("-o run", request(), make_request("finetune", 2))
    assert "seed" not in str(error.value)


def test_what_an_older_version_left_is_not_taken_for_a_new_folder(tmp_path):
    (tmp_path / "last.ckpt").write_text("")
    assert read_request(tmp_path) is None
    with pytest.raises(UsageError, match=r"last\.ckpt and no request\.json"):
        read_request(tmp_path, ["*.ckpt"])


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_an_unreadable_request_is_an_error(tmp_path, content):
    (tmp_path / REQUEST).write_bytes(content)
    with pytest.raises(InputError, match="cannot be read"):
        take_up(tmp_path, request())


def test_a_run_that_grows_takes_more_and_changes_nothing(tmp_path):
    def study(**datasets):
        return make_request("benchmark", 1, datasets=datasets, device="cpu")

    extend_request(tmp_path, study(a=1), ["datasets"])
    extend_request(tmp_path, study(b=2), ["datasets"])
    extend_request(tmp_path, study(a=1), ["datasets"])
    assert read_request(tmp_path)["datasets"] == {"a": 1, "b": 2}
    with pytest.raises(UsageError, match=r"datasets\.b \(2 before, 3 now\)"):
        extend_request(tmp_path, study(b=3, c=4), ["datasets"])
    with pytest.raises(UsageError, match="device"):
        extend_request(tmp_path, study(a=1) | {"device": "cuda"}, ["datasets"])
    assert read_request(tmp_path)["datasets"] == {"a": 1, "b": 2}


def test_long_values_are_cut():
    (line,) = differences({"a": "x" * 500}, {"a": "y"})
    assert len(line) < 100
    assert json.dumps(request())
