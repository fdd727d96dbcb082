"""Names of encoders: what is said of those that stand for none."""

import pytest

from molrate.encoders.base import load_encoder
from molrate.errors import UsageError


def message_of(name):
    with pytest.raises(UsageError) as caught:
        load_encoder(str(name))
    return str(caught.value)


def test_a_file_without_a_family_is_told_how_it_is_named(tmp_path):
    path = tmp_path / "model.pt"
    path.write_text("x")
    said = message_of(path)
    assert f"FAMILY:{path}" in said
    assert "families that read files: pretrain-gnns, hf, molclr, grover, chemprop, features." in said
    assert len(said) < 400 + 2 * len(str(path))


@pytest.mark.parametrize("family", ["chemprop", "hf", "minimol"])
def test_a_family_without_a_file_is_told_what_is_missing(family):
    assert f"write {family}:FILE" in message_of(f"{family}:")


def test_names_near_a_misspelt_one_are_said():
    assert "near it: ecfp4; a file is named FAMILY:FILE" in message_of("ecpf4")
    assert "near it" not in message_of("x")
    assert "there is no family 'chmprop'; families: pretrain-gnns" in message_of("chmprop:model.pt")


def test_files_of_families_that_do_not_tell_settings_go_with_a_name_of_theirs(tmp_path):
    path = tmp_path / "model.pt"
    path.write_text("x")
    said = message_of(f"minimol:{path}")
    assert "name an encoder of the family (minimol, minimol-untrained)" in said
    assert "(chemnet, chemnet-untrained)" in message_of(f"chemnet:{path}")
    for name in (path, "gone", ""):
        assert "ecfp has no weights and reads no file; its encoder is ecfp4" in message_of(f"ecfp:{name}")
