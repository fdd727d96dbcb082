from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import molrate
from molrate.errors import InputError
from molrate.ranking.alignment import _refuse_other_molecules, molecules_of_rows

N = 60


@pytest.fixture
def files(tmp_path):
    generator = np.random.default_rng(0)
    features = pd.DataFrame(generator.normal(size=(N, 3)), columns=list("abc"))
    features.insert(0, "id", [f"M{n}" for n in range(N)])
    labels = pd.DataFrame({"id": features["id"], "y": features["a"] + 0.1 * generator.normal(size=N)})

    def write(left=None, right=None):
        (features if left is None else left).to_csv(tmp_path / "f.csv", index=False)
        (labels if right is None else right).to_csv(tmp_path / "y.csv", index=False)
        return molrate.score_features([tmp_path / "f.csv"], tmp_path / "y.csv", "y", measures=["cka"])

    return features, labels, write


def value(ranking):
    return ranking.frame["value"][0]


def test_rows_are_joined_by_a_shared_identifier(files):
    _, labels, score = files
    expected = value(score())
    shuffled = score(right=labels.sample(frac=1, random_state=1))
    assert value(shuffled) == pytest.approx(expected)
    assert "Labels of y.csv joined to the features by id." in shuffled.notes
    other_names = score(right=labels.sample(frac=1, random_state=2).rename(columns={"id": " ID"}))
    assert value(other_names) == pytest.approx(expected)
    more = pd.concat([labels.sample(frac=1, random_state=3), pd.DataFrame({"id": ["X"], "y": [9.0]})])
    assert value(score(right=more)) == pytest.approx(expected)
    fewer = score(right=labels.sample(40, random_state=4))
    assert "40 of 60 rows of features" in " ".join(fewer.notes)
    assert fewer.frame["n"][0] == 40


def test_rows_that_cannot_be_joined_are_refused_at_the_first_that_differs(files):
    features, labels, score = files
    twice = labels.assign(id=["M1", *labels["id"][1:]])
    with pytest.raises(InputError, match=r"row 1: id M0 in .*f\.csv but M1 in .*y\.csv"):
        score(right=twice)
    strangers = labels.assign(id=[f"Z{n}" for n in range(N)])
    with pytest.raises(InputError, match="row 1: id M0 in"):
        score(right=strangers)
    smiles = ["C" * (n + 1) for n in range(N)]
    left = features.drop(columns="id").assign(smiles=smiles)
    right = labels.drop(columns="id").assign(smiles=["N", *smiles[1:]])
    with pytest.raises(InputError, match="row 1: smiles C in"):
        score(left, right)
    with pytest.raises(InputError, match="row 2: row 2 in"):
        score(
            left.assign(row=range(1, N + 1)), labels.drop(columns="id").assign(row=[1, 3, *range(3, N + 1)])
        )


def test_files_of_features_in_different_orders_are_refused(files, tmp_path):
    features, _, score = files
    score()
    features.iloc[::-1].to_csv(tmp_path / "g.csv", index=False)
    with pytest.raises(InputError, match=r"row 1: id M0 in .*f\.csv but M59 in .*g\.csv"):
        molrate.score_features([tmp_path / "f.csv", tmp_path / "g.csv"], tmp_path / "y.csv", "y")


def test_which_columns_are_features_is_said(files):
    _, _, score = files
    assert "Features of f: a, b, c." in score().notes


def test_rows_that_are_not_finite_are_left_out_alike_in_memory_and_streamed(files, monkeypatch):
    features, _, score = files
    broken = features.copy()
    broken.loc[[4, 9], "b"] = np.nan
    held = score(left=broken)
    monkeypatch.setattr("molrate.ranking.score_features.HELD_VALUES", 10)
    streamed = score(left=broken)
    note = "2 rows left out whose features are not finite, the first row 5."
    assert note in held.notes
    assert note in streamed.notes
    assert held.frame["n"][0] == streamed.frame["n"][0] == N - 2


def test_identifiers_that_count_rows_in_two_orders_are_refused(files):
    features, labels, score = files
    smiles = ["C" * n + "O" for n in range(1, N + 1)]
    left, right = features.assign(smiles=smiles), labels.assign(smiles=smiles)
    expected = value(score(left, right))
    assert value(score(left, right.sample(frac=1, random_state=0))) == pytest.approx(expected)
    turned = right.assign(smiles=smiles[::-1])
    with pytest.raises(InputError, match=r"row 1: id M0 is CO in .*f\.csv but C{60}O in .*y\.csv; where id"):
        score(left, turned)
    with pytest.raises(InputError, match=r"id M\d+ is C+O in"):
        score(left, turned.sample(frac=1, random_state=0))
    with pytest.raises(InputError, match=r"id M\d+ is C+O in"):
        score(left.rename(columns={"smiles": "canonical_smiles"}), turned)
    # Unless both have them, nothing can be compared.
    assert value(score(left, right.assign(smiles=""))) == pytest.approx(expected)


def test_molecules_that_are_written_otherwise_are_joined(files):
    features, labels, score = files
    own, others = ["C" * n + "C(F)(Cl)C(=O)O" for n in range(1, N + 1)], []
    for n in range(1, N + 1):
        others.append(f"[Na+].[O-]C(=O)[C@](F)(Cl){'C' * n}")
    own[3], others[5] = "nonsense(", "other nonsense"
    left, right = features.assign(smiles=own), labels.assign(smiles=others)
    expected = value(score(features, labels))
    assert value(score(left, right)) == expected
    assert value(score(left, right.sample(frac=1, random_state=0))) == pytest.approx(expected)


def test_rows_far_down_are_looked_at_too():
    own = ["C" * n + "O" for n in range(1, 1301)]
    others = ["O" + "C" * n for n in range(1, 1101)] + ["O" + "C" * n for n in range(1300, 1100, -1)]
    keys = [str(n) for n in range(1300)]
    texts = (Path("f.csv"), own), (Path("y.csv"), others)
    with pytest.raises(InputError, match="row 11"):
        _refuse_other_molecules("id", keys, texts, range(1300))
    same = (Path("f.csv"), own), (Path("y.csv"), ["O" + "C" * n for n in range(1, 1301)])
    _refuse_other_molecules("id", keys, same, range(1300))


def test_what_tells_molecules_apart():
    names = [f"m{row // 2}" for row in range(60)]
    assert molecules_of_rows({"row": ["1", "1"]}) is None
    assert molecules_of_rows({"name": names}) == ("name", names)
    # A name of a series says nothing of molecules.
    assert molecules_of_rows({"name": ["series A", "series B"] * 30}) is None
    keys = {"id": names, "smiles": ["C", ""] * 30, "canonical_smiles": [""] * 60}
    column, texts = molecules_of_rows(keys)
    assert column == "smiles"
    assert texts[:4] == ["C", "row 2", "C", "row 4"]
