import pytest

from molrate.data.molecules import standardise

READ = {
    "CCO |(0,0,;1,1,;2,2,)|": ("CCO", ""),
    "CCO |$ca;cb;o$|": ("CCO", ""),
    "CCO |^1:0|": ("[CH2]CO", ""),
    "CCO |SgD:1,0:name:value::::|": ("CCO", ""),
    "C[C@H](F)Cl |a:1|": ("C[C@H](F)Cl", ""),
    "C[C@H](F)Cl |&1:1,r|": ("C[C@H](F)Cl", "CXSMILES enhanced stereo (&1, r) dropped"),
    "C[C@H](F)Cl\t|o1:1|": ("C[C@H](F)Cl", "CXSMILES enhanced stereo (o1) dropped"),
    "C[C@H](F)Cl |(0,0,;1,0,;2,1,;2,2,),&12:1|": ("C[C@H](F)Cl", "CXSMILES enhanced stereo (&12) dropped"),
}

UNSUPPORTED = {
    "CC.c1ccccc1 |m:0:2.3.4|": "m not supported (position variation)",
    "CC.c1ccccc1 |c:2,4,6,m:0:2.3.4|": "m not supported (position variation)",
    "*CC |$_R1;;$|": "$ not supported",
    "CC(=O)O |$;_AP1;;$|": "$ not supported",
    "*CC |$Pol_p;;$|": "$ not supported",
    "*C |$anything;$|": "$ not supported",
    "CCO |Sg:n:0,1::ht|": "Sg not supported",
    "CCO |LN:1:1.3|": "LN not supported",
    "CCO |rb:0:*|": "rb not supported",
    "CCO |zz:1|": "zz not supported",
}

INVALID = {
    "CCO ethanol": "contains white space; text after it was not read",
    "CCO\tCCN": "contains white space; text after it was not read",
    "CC\nO": "contains a line break; text after it was not read",
    "CC\r\nO": "contains a line break",
    "C\u200bC": "U+200B (ZERO WIDTH SPACE)",
    "\ufeffCCO": "U+FEFF",
    "C\u00a0C": "U+00A0 (NO-BREAK SPACE)",
    "C\u2013C": "U+2013 (EN DASH)",
    "C\x07C": "U+0007",
    "C\0C": "NUL character",
    "CCO |m:0": "contains white space",
    "CCO |&1:1| name": "contains white space",
    " ": "no SMILES",
}


@pytest.mark.parametrize("text", READ)
def test_extensions_that_are_read(text):
    canonical, note = READ[text]
    molecules = standardise([text, "C"])
    assert molecules.canonical.tolist() == [canonical, "C"]
    assert molecules.notes == ({0: note} if note else {})


@pytest.mark.parametrize("text", UNSUPPORTED)
def test_extensions_that_leave_the_molecule_open(text):
    molecules = standardise(["C", text])
    assert molecules.canonical.tolist() == ["C", ""]
    assert molecules.unsupported == {1}
    assert f"CXSMILES extension {UNSUPPORTED[text]}" in molecules.errors[1]


@pytest.mark.parametrize("text", INVALID)
def test_no_half_of_a_molecule_is_read(text):
    molecules = standardise([text])
    assert molecules.canonical[0] == ""
    assert INVALID[text] in molecules.errors[0]
    assert not molecules.unsupported


def test_blanks_around_a_smiles_are_no_part_of_it():
    assert standardise(["  CCO ", "CCO\n", "\tC[C@H](F)Cl |&1:1| "]).canonical.tolist() == [
        "CCO",
        "CCO",
        "C[C@H](F)Cl",
    ]
