import pytest
from rdkit import Chem

from molrate.data.molecules import standardise
from molrate.data.structures import limit_atoms, smiles_of_rows, smiles_of_structure
from molrate.files.library import Row


def block(cxsmiles, v3000=True):
    return Chem.MolToMolBlock(Chem.MolFromSmiles(cxsmiles), forceV3000=v3000)


@pytest.mark.parametrize("v3000", [True, False])
def test_structures_are_smiles(v3000):
    assert smiles_of_structure(block("OCC", v3000)) == ("CCO", "")
    assert smiles_of_structure("broken\n\n\n  1  0\n") == ("", "RDKit cannot read this record")
    assert smiles_of_structure(block("", v3000)) == ("", "record has no atoms")


def test_what_a_smiles_cannot_say_stands_behind_it_and_is_treated_alike():
    group_block = (
        block("[1*]CC", v3000=False)
        .replace("M  END", "M  RGP  1   1   1\nM  END")
        .replace(" R   ", " R#  ")
        .replace(" *   ", " R#  ")
    )
    racemate, _ = smiles_of_structure(block("C[C@H](F)Cl |&1:1|"))
    variation, _ = smiles_of_structure(block("CO*.C1=CC=NC=C1 |m:2:3.5.4|"))
    group, _ = smiles_of_structure(group_block)
    molecules = standardise([racemate, variation, group, "CCO"])
    assert molecules.valid.tolist() == [True, False, False, True]
    assert molecules.notes == {0: "CXSMILES enhanced stereo (&1) dropped"}
    assert molecules.unsupported == {1, 2}


def test_too_large_molecules_are_unsupported_before_and_after_parsing():
    rows = [Row("l", n, "", text, "") for n, text in enumerate(["C" * 50, "C" * 51, "C" * 300], start=1)]
    texts, without = smiles_of_rows(rows, max_atoms=50)
    assert without == {2: ("unsupported", "SMILES of 300 characters, more than 250 (--max-atoms 50)")}
    molecules = limit_atoms(standardise(texts), 50)
    assert molecules.errors[1] == "51 atoms, more than 50 (--max-atoms)"
    assert molecules.unsupported == {1}
    structure = Row("l", 1, "", block("C" * 400, v3000=True), "", structure=True)
    assert smiles_of_rows([structure], max_atoms=50)[1] == {
        0: ("unsupported", "400 atoms, more than 50 (--max-atoms)")
    }
