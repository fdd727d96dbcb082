import pytest
from rdkit import Chem

from molrate.data.molecules import standardise
from molrate.data.structures import limit_atoms, smiles_of_rows, smiles_of_structure
from molrate.files.library import Row


def block(cxsmiles, v3000=True):
    return Chem.MolToMolBlock(Chem.MolFromSmiles(cxsmiles), forceV3000=v3000)


@pytest.mark.parametrize("v3000", [True, False])
def test_structures_are_smiles(v3000):
    assert smiles_of_structure(block("OCC", v3000)) == ("CCO", None)
    unreadable = "", ("unreadable", "RDKit cannot read this record")
    assert smiles_of_structure("broken\n\n\n  1  0\n") == unreadable
    assert smiles_of_structure(block("", v3000)) == ("", ("unreadable", "record has no atoms"))


def v2000(symbol="C", bond="  1  2  1  0", properties="", hydrogens=0):
    """Propanol as it may be drawn for a search."""
    atoms = "".join(
        f"{x:10.4f}{0:10.4f}{0:10.4f} {name:<3} 0  0  0{n:3}  0  0  0  0  0  0  0  0\n"
        for x, name, n in ((0, symbol, hydrogens), (1, "C", 0), (2, "C", 0), (3, "O", 0))
    )
    bonds = f"{bond}\n  2  3  1  0\n  3  4  1  0\n"
    return f"t\n\n\n  4  3  0  0  0  0  0  0  0  0999 V2000\n{atoms}{bonds}{properties}M  END\n"


def v3000(symbol="C", of_atom="", kind=1, of_bond=""):
    atoms = f"M  V30 1 {symbol} 0 0 0 0{of_atom}\nM  V30 2 C 1 0 0 0\nM  V30 3 O 2 0 0 0\n"
    bonds = f"M  V30 1 {kind} 1 2{of_bond}\nM  V30 2 1 2 3\n"
    return (
        "t\n\n\n  0  0  0     0  0            999 V3000\nM  V30 BEGIN CTAB\nM  V30 COUNTS 3 2 0 0 0\n"
        f"M  V30 BEGIN ATOM\n{atoms}M  V30 END ATOM\nM  V30 BEGIN BOND\n{bonds}M  V30 END BOND\n"
        "M  V30 END CTAB\nM  END\n"
    )


@pytest.mark.parametrize(
    "structure",
    [
        *map(v2000, ("A", "Q", "X", "M", "AH", "QH", "XH", "MH", "L", "LP")),
        *map(v3000, ("A", "Q", "X", "M", "AH", "QH", "XH", "MH")),
    ],
)
def test_atoms_that_stand_for_others_are_unsupported(structure):
    smiles, why = smiles_of_structure(structure)
    assert smiles == ""
    assert why.status == "unsupported"
    assert why.reason.startswith("query atom 1")


@pytest.mark.parametrize(
    "structure",
    [
        v2000("L", properties="M  ALS   1  2 F Cl  Br  \n"),
        v2000("L", properties="M  ALS   1  2 T Cl  Br  \n"),
        v3000("[Cl,Br]"),
        v3000('"NOT [Cl,Br]"'),
    ],
)
def test_lists_of_atoms_are_unsupported(structure):
    assert smiles_of_structure(structure) == ("", ("unsupported", "query atom 1 not supported"))


@pytest.mark.parametrize(
    "structure",
    [
        *(v2000(properties=f"M  {key}  1   1   2\n") for key in ("RBC", "SUB")),
        v2000(properties="M  UNS  1   1   1\n"),
        v2000(hydrogens=1),
        *(v3000(of_atom=f" {value}") for value in ("RBCNT=3", "SUBST=1", "UNSAT=1", "HCOUNT=2")),
    ],
)
def test_query_properties_of_atoms_are_unsupported(structure):
    reason = "query property of atom 1 not supported"
    assert smiles_of_structure(structure) == ("", ("unsupported", reason))


@pytest.mark.parametrize(
    "structure",
    [
        *(v2000(bond=f"  1  2  {kind}  0") for kind in range(5, 9)),
        v2000(bond="  1  2  1  0  0  1"),
        *(v3000(kind=kind) for kind in range(5, 9)),
        v3000(of_bond=" TOPO=2"),
    ],
)
def test_query_bonds_are_unsupported(structure):
    assert smiles_of_structure(structure) == ("", ("unsupported", "query bond 1 not supported"))


@pytest.mark.parametrize(
    ("structure", "smiles"),
    [
        (v2000("*"), "*CCO"),
        (v3000("*"), "*CO"),
        (v2000(properties="M  SUB  1   1   0\n"), "CCCO"),
        (v3000("N", kind=9).replace("2 C 1", "2 Cu 1"), "[NH3][Cu][OH]"),
        (v3000(kind=10), "CCO"),
    ],
)
def test_what_a_smiles_can_say_is_read(structure, smiles):
    assert smiles_of_structure(structure) == (smiles, None)
    assert standardise([smiles]).valid.all()


def test_link_nodes_are_unsupported_as_in_cxsmiles():
    smiles, _ = smiles_of_structure(v2000(properties="M  LIN  1   2   3   1   3\n"))
    assert smiles.startswith("CCCO |LN:")
    assert standardise([smiles]).unsupported == {0}


def test_bytes_that_are_not_utf_8_in_a_structure_cost_the_row():
    spoiled = v2000().replace(" O  ", " O\udce9 ")
    reason = "not UTF-8 text (byte 0xe9) in the structure"
    assert smiles_of_structure(spoiled) == ("", ("unreadable", reason))


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
    assert "position variation" in molecules.errors[1]


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
