import pytest
from rdkit import Chem

from molrate.data.datasets import load_dataset
from molrate.errors import InputError
from molrate.files.library import Library
from molrate.files.tables import read_table


def record(smiles, name="", forms="V2000", **fields):
    molecule = Chem.MolFromSmiles(smiles)
    molecule.SetProp("_Name", name)
    block = Chem.MolToMolBlock(molecule, forceV3000=forms == "V3000")
    return block + "".join(f">  <{key}>  (1)\n{value}\n\n" for key, value in fields.items()) + "$$$$\n"


@pytest.mark.parametrize("forms", ["V2000", "V3000"])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_fields_are_columns_targets_and_labels(tmp_path, forms, ends):
    path = tmp_path / "l.sdf"
    text = "".join(
        record(
            "C" * n,
            f"m{n}" if n != 3 else "",
            forms,
            activity=n,
            **({"comment": "one\ntwo"} if n == 2 else {}),
        )
        for n in range(1, 31)
    )
    path.write_bytes(text.replace("\n", ends).encode())
    table = read_table(path)
    assert table.header == ("smiles", "id", "activity", "comment")
    assert table.column("activity") == [str(n) for n in range(1, 31)]
    assert table.column("comment")[:3] == ["", "one\ntwo", ""]
    dataset = load_dataset(path, "activity")
    assert dataset.smiles[:3].tolist() == ["C", "CC", "CCC"]
    assert dataset.ids[0] == "m1"
    assert dataset.targets[0].values[:3].tolist() == [1, 2, 3]
    rows = list(Library([str(path)], label_column="activity", id_column="comment").rows())
    assert [(row.label, row.id) for row in rows[:2]] == [("1", ""), ("2", "one\\x0atwo")]


def test_a_field_that_no_record_has_is_refused(tmp_path):
    path = tmp_path / "l.sdf"
    path.write_text(record("C", activity=1) + record("CC", other=2))
    assert [row.label for row in Library([str(path)], label_column="other").rows()] == ["", "2"]
    with pytest.raises(
        InputError, match=r"its first 2 records have no data field 'none'; their fields are activity"
    ):
        list(Library([str(path)], id_column="none").rows())
    with pytest.raises(InputError, match="the molecules of an SDF are its structures"):
        list(Library([str(path)], smiles_column="activity").rows())


def test_identifiers_are_titles_or_fields_of_usual_names(tmp_path):
    path = tmp_path / "l.sdf"
    path.write_text(record("C", "title", **{"Catalog ID": "x"}) + record("CC", **{"Catalog ID": "K-2"}))
    assert [row.id for row in Library([str(path)]).rows()] == ["title", "K-2"]
    path.write_text(record("C", "t", **{"id": "7"}).replace("<id>", "<smiles>") + record("CC", **{"id": "7"}))
    assert read_table(path).header == ("structure", "title", "smiles", "id")


def test_bytes_that_are_not_utf_8_in_a_field_leave_the_structure(tmp_path):
    path = tmp_path / "l.sdf"
    path.write_bytes(
        record("CCO", "m1", IC50="5 MU").replace("MU", "\udcb5M").encode("utf-8", "surrogateescape")
    )
    (row,) = Library([str(path)]).rows()
    assert row.error == ""
    assert row.note == "IC50: not UTF-8 text (byte 0xb5)"
    assert Chem.MolFromMolBlock(row.text).GetNumAtoms() == 3


def test_a_value_without_a_blank_line_after_it_ends_with_the_next_name(tmp_path):
    path = tmp_path / "l.sdf"
    path.write_text(record("C").removesuffix("$$$$\n") + "> <a>\n1\n> <b>\n2\n$$$$\n\n$$$$\n")
    assert read_table(path, keep_unreadable=True).records[0][2][2:] == ("1", "2")
    assert [row.error for row in Library([str(path)]).rows()][1].startswith("empty record")
