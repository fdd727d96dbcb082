import hashlib
import shutil

import numpy as np
import pandas as pd
import pytest

from molrate.data.datasets import dataset_cards, load_dataset
from molrate.errors import InputError, UsageError
from molrate.paths import shipped

SIZES = {"b3db": 7807, "bace": 1513, "bbbp": 2039, "esol": 1128, "freesolv": 642}
CARDS = dataset_cards()


def test_the_five_cards():
    assert {name: card["rows"] for name, card in CARDS.items()} == SIZES


@pytest.mark.parametrize("name", [n for n, card in CARDS.items() if card["copies"][0]["origin"] == "shipped"])
def test_shipped_files_are_what_their_cards_say(name):
    card = CARDS[name]
    copy = card["copies"][0]
    content = (shipped("datasets") / name / copy["file"]).read_bytes()
    assert hashlib.sha256(content).hexdigest() == copy["sha256"]
    assert len(content) == copy["bytes"]
    assert card["licence"]
    assert card["citation"]
    dataset = load_dataset(name)
    assert len(dataset) == SIZES[name]
    assert [target.task for target in dataset.targets] == [card["task"]]
    assert len(set(dataset.ids)) == len(dataset)


@pytest.mark.parametrize("name", ["bace", "bbbp", "esol", "freesolv"])
def test_the_papers_files_are_found_and_equal_to_what_ships(name, published_data):
    from molrate.data.datasets import copy_artifact

    card = CARDS[name]
    copy = card["copies"][-1]
    path = copy_artifact(copy).locate(download=False)
    table = pd.read_csv(path)
    assert len(table) == copy["rows"] == SIZES[name]
    dataset = load_dataset(name)
    assert dataset.smiles.tolist() == table[copy["smiles_column"]].tolist()
    (target,) = dataset.targets
    np.testing.assert_array_equal(target.values, table[copy["targets"][target.name]])


def test_an_altered_dataset_is_refused(tmp_path, monkeypatch):
    (tmp_path / "bbbp.csv").write_text("smiles,p_np\nC,1\n")
    monkeypatch.setenv("MOLRATE_DATA", str(tmp_path))
    with pytest.raises(InputError, match="truncated or altered"):
        load_dataset("bbbp")


def write(tmp_path, text):
    path = tmp_path / "my.csv"
    path.write_text(text)
    return path


def test_own_table_with_several_targets_and_missing_values(tmp_path):
    path = write(tmp_path, "Mol,a,b\nCCO,1.5,x\nC,,y\nCC,2,\n")
    dataset = load_dataset(path, ["a", "b"])
    assert dataset.smiles.tolist() == ["CCO", "C", "CC"]
    assert [target.labelled.tolist() for target in dataset.targets] == [
        [True, False, True],
        [True, True, False],
    ]
    assert hashlib.sha256(path.read_bytes()).hexdigest() in dataset.source


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        ("structure_1,y\nC,1\n", {"target": "y"}, "no SMILES column found; its columns are structure_1, y"),
        ("smiles,y\nC,1\n", {"target": "z"}, r"no column 'z' \(target=\); its columns are smiles, y"),
        ("smiles,y\nC,1\n", {"target": "y", "smiles": "s"}, r"no column 's' \(smiles="),
        ("smiles,y\nC,1\n", {}, "say which column to predict with target="),
    ],
)
def test_missing_columns_are_named_with_those_there_are(tmp_path, text, arguments, message):
    with pytest.raises(InputError, match=message):
        load_dataset(write(tmp_path, text), **arguments)


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(UsageError, match="freesolv"):
        load_dataset("freesol")
    with pytest.raises(InputError, match="it has freesolv"):
        load_dataset("freesolv", "logP")


def test_named_datasets_take_no_smiles_column():
    with pytest.raises(UsageError, match="smiles is for tables"):
        load_dataset("freesolv", smiles="mol")


def test_an_altered_shipped_file_is_refused(tmp_path, monkeypatch):
    shutil.copytree(shipped("datasets"), tmp_path / "datasets")
    path = tmp_path / "datasets" / "freesolv" / "data.csv"
    path.write_text(path.read_text().replace("-11.01", "-11.02"))
    monkeypatch.setattr("molrate.data.datasets.shipped", lambda kind: tmp_path / kind)
    with pytest.raises(InputError, match="was altered"):
        load_dataset("freesolv")


def test_moleculenet_through_deepchem(fresh_cache):
    pytest.importorskip("deepchem", reason="NOT TESTED: the moleculenet extra is not installed")
    esol = load_dataset("esol")
    column = "measured log solubility in mols per litre"
    folder = fresh_cache / "moleculenet"
    folder.mkdir(parents=True)
    values = esol.targets[0].values.copy()
    values[3] = np.nan
    pd.DataFrame({"smiles": esol.smiles, column: values}).to_csv(
        folder / "delaney-processed.csv", index=False
    )
    dataset = load_dataset("moleculenet:delaney")
    assert dataset.smiles.tolist() == esol.smiles.tolist()
    assert dataset.targets[0].name == column
    np.testing.assert_array_equal(dataset.targets[0].values, values)
    with pytest.raises(UsageError, match="no MoleculeNet loader for 'nonsense'"):
        load_dataset("moleculenet:nonsense")


def test_load_dataset_says_where_frames_go():
    with pytest.raises(UsageError, match="files and named datasets, not a DataFrame"):
        load_dataset(pd.DataFrame({"smiles": ["CCO"], "y": [1.0]}), "y")
