import pytest
from rdkit import Chem

from molrate.data.datasets import load_dataset
from molrate.embedding.table import RowMolecules
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


def test_bytes_that_are_not_utf_8_above_the_structure_are_shown(tmp_path):
    path = tmp_path / "l.sdf"
    lines = record("CCO", "title").split("\n")
    texts = []
    for place, line in enumerate(("caf\udce9", "  prog\udcb5", "gr\udcfcn")):
        texts.append("\n".join([*lines[:place], line, *lines[place + 1 :]]))
    path.write_bytes("".join(texts).encode("utf-8", "surrogateescape"))
    rows = list(Library([str(path)]).rows())
    assert [(row.id, row.note) for row in rows] == [
        ("caf\\xe9", "title: not UTF-8 text (byte 0xe9)"),
        ("title", "program line: not UTF-8 text (byte 0xb5)"),
        ("title", "comment: not UTF-8 text (byte 0xfc)"),
    ]
    table = RowMolecules.read(rows, "none").table({}, {})
    assert table["status"].tolist() == ["ok"] * 3
    assert table["smiles"].tolist() == ["CCO"] * 3
    path.write_bytes(
        ("".join(texts) + texts[1].replace(" O ", " O\udce9")).encode("utf-8", "surrogateescape")
    )
    table = RowMolecules.read(Library([str(path)]).rows(), "none").table({}, {})
    assert table["status"].tolist() == ["ok"] * 3 + ["unreadable"]
    assert table["error"][3] == "not UTF-8 text (byte 0xe9) in the structure"
    assert read_table(path).column("id")[:2] == ["caf\\xe9", "title"]


def test_names_of_fields_go_up_to_the_last_bracket(tmp_path):
    path = tmp_path / "l.sdf"
    names = ("Act>10uM", "Act>1uM", "a<b", "x -> y", "plain")
    heads = (">  <{}>", "> <{}> (1)", ">  <{}>  (MFCD00000001)  ", "> 25 <{}> FROM ARCHIVES", "> DT12 <{}>")
    fields = "".join(
        f"{head.format(name)}\n{value}\n\n"
        for value, (name, head) in enumerate(zip(names, heads, strict=True))
    )
    path.write_text(record("C").removesuffix("$$$$\n") + fields + "$$$$\n")
    table = read_table(path)
    assert table.header == ("smiles", "id", *names)
    assert [table.column(name) for name in names] == [[str(value)] for value in range(5)]
    (molecule,) = Chem.SDMolSupplier(str(path))
    assert list(molecule.GetPropNames()) == list(names)
    (row,) = Library([str(path)], label_column="Act>10uM", id_column="Act>1uM").rows()
    assert (row.label, row.id) == ("0", "1")


def test_a_field_that_stands_twice_in_a_record_loses_no_value(tmp_path):
    path = tmp_path / "l.sdf"
    twice = record("CC", "m2", y=2, z=5).replace("<z>", "<y>")
    path.write_text(record("C", "m1", y=1, z=3) + twice)
    table = read_table(path)
    assert table.header == ("smiles", "id", "y", "z", "y")
    assert [record[2][2:] for record in table.records] == [("1", "3", ""), ("2", "", "5")]
    with pytest.raises(InputError, match=r"two columns are named y \(columns 3 and 5\); rename one"):
        load_dataset(path, "y")
    rows = list(Library([str(path)], label_column="y").rows())
    assert [(row.label, row.error) for row in rows] == [
        ("1", ""),
        ("", f"two data fields are named y; rename one (line {record('C', y=1, z=3).count(chr(10)) + 1})"),
    ]
    assert [row.error for row in Library([str(path)]).rows()] == ["", ""]


def test_a_value_without_a_blank_line_after_it_ends_with_the_next_name(tmp_path):
    path = tmp_path / "l.sdf"
    path.write_text(record("C").removesuffix("$$$$\n") + "> <a>\n1\n> <b>\n2\n$$$$\n\n$$$$\n")
    assert read_table(path, keep_unreadable=True).records[0][2][2:] == ("1", "2")
    assert [row.error for row in Library([str(path)]).rows()][1].startswith("empty record")
