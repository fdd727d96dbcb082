"""Input featurisation of GROVER for RDKit molecules, as released (Rong et al. 2020).

The features of each atom and of each bond are packed into one integer. A batch holds far fewer different
atoms than atoms, so features are unpacked, and later encoded, once for each different integer.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import chain

import numpy as np
import numpy.typing as npt
import torch
from rdkit import Chem

from molrate.data.molecules import atoms_of, bonds_of
from molrate.encoders.batch import MoleculeBatch
from molrate.encoders.graph import Graph
from molrate.errors import UnsupportedMoleculeError

N_ATOM_FEATURES = 151
N_BOND_FEATURES = 14

_ATOM_FIELDS = {
    "atomic number": 101,
    "degree": 7,
    "charge": 6,
    "chirality": 5,
    "hydrogens": 6,
    "hybridization": 6,
    "aromatic": 2,
    "implicit valence": 8,
    "acceptor": 2,
    "donor": 2,
    "acidic": 2,
    "basic": 2,
    **{f"ring of {size}": 2 for size in range(3, 9)},
    "element": 256,
    "isotope": 65536,
}
"""Number of values that each field of a packed atom takes; the first field varies fastest. Element and
isotope give the mass; the atomic number does not, because it is "unknown" above 100."""

_BOND_FIELDS = {"type": 5, "conjugated": 2, "in ring": 2, "stereo": 7}

_HYBRIDIZATION = {
    Chem.HybridizationType.SP: 0,
    Chem.HybridizationType.SP2: 1,
    Chem.HybridizationType.SP3: 2,
    Chem.HybridizationType.SP3D: 3,
    Chem.HybridizationType.SP3D2: 4,
}
_BOND_TYPE = {
    Chem.BondType.SINGLE: 0,
    Chem.BondType.DOUBLE: 1,
    Chem.BondType.TRIPLE: 2,
    Chem.BondType.AROMATIC: 3,
}

# Patterns of the released featurizer (tencent-ailab/grover, MIT), in the order of its columns.
_PATTERNS = [
    Chem.MolFromSmarts(smarts)
    for smarts in (
        "[$([O,S;H1;v2;!$(*-*=[O,N,P,S])]),$([O,S;H0;v2]),$([O,S;-]),$([N;v3;!$(N-*=[O,N,P,S])]),n&H0&+0,"
        "$([o,s;+0;!$([o,s]:n);!$([o,s]:c:n)])]",
        "[$([N;!H0;v3,v4&+1]),$([O,S;H1;+0]),n&H1&+0]",
        "[$([C,S](=[O,S,P])-[O;H1,-1])]",
        "[#7;+,$([N;H2&+0][$([C,a]);!$([C,a](=O))]),$([N;H1&+0]([$([C,a]);!$([C,a](=O))])[$([C,a]);!$([C,a](=O))]),"
        "$([N;H0&+0]([C;!$(C(=O))])([C;!$(C(=O))])[C;!$(C(=O))])]",
    )
]


def _pack(columns: Sequence[npt.NDArray[np.int64]], sizes: Sequence[int]) -> npt.NDArray[np.int64]:
    packed = np.zeros_like(columns[0])
    for column, size in zip(reversed(columns), reversed(sizes), strict=True):
        packed = packed * size + column
    return packed


def _unpack(packed: npt.NDArray[np.int64], sizes: Sequence[int]) -> list[npt.NDArray[np.int64]]:
    columns = []
    for size in sizes:
        columns.append(packed % size)
        packed = packed // size
    return columns


def _one_hot(features: npt.NDArray[np.float32], start: int, values: npt.NDArray[np.int64]) -> None:
    features[np.arange(len(values)), start + values] = 1.0


@cache
def _mass(element: int, isotope: int) -> float:
    atom = Chem.Atom(element)
    atom.SetIsotope(isotope)
    return atom.GetMass()


def atom_features(packed: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Unpack atoms into the 151 features of the released code; a negative integer, padding, gives zeros.

    One-hot atomic number (100 and unknown), total degree (0-5, more), formal charge (six slots indexed
    by the charge itself, negative charges from the end, so that +4 and -2 share a slot), chiral tag,
    hydrogens, hybridization; aromatic; mass / 100; implicit valence; acceptor, donor, acidic, basic; ring
    sizes 3-8.

    Parameters
    ----------
    packed : ndarray of int64, shape (n,)

    Returns
    -------
    ndarray of float32, shape (n, 151)
    """
    names, sizes = list(_ATOM_FIELDS), list(_ATOM_FIELDS.values())
    fields = dict(zip(names, _unpack(np.maximum(packed, 0), sizes), strict=True))
    features = np.zeros((len(packed), N_ATOM_FEATURES), dtype=np.float32)
    column = 0
    for name in names[:6]:
        _one_hot(features, column, fields[name])
        column += _ATOM_FIELDS[name]
    features[:, 131] = fields["aromatic"]
    masses = map(_mass, fields["element"].tolist(), fields["isotope"].tolist())
    features[:, 132] = np.fromiter(masses, dtype=np.float64, count=len(packed)) * 0.01
    _one_hot(features, 133, fields["implicit valence"])
    for position, name in enumerate(names[8:18]):
        features[:, 141 + position] = fields[name]
    features[packed < 0] = 0.0
    return features


def bond_features(packed: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Unpack bonds into 14 features: none, four types, conjugated, in a ring, stereo (6 and unknown).

    Parameters
    ----------
    packed : ndarray of int64, shape (m,)
        Packed bonds; a negative integer, padding, gives zeros.

    Returns
    -------
    ndarray of float32, shape (m, 14)
    """
    kind, conjugated, in_ring, stereo = _unpack(np.maximum(packed, 0), list(_BOND_FIELDS.values()))
    features = np.zeros((len(packed), N_BOND_FEATURES), dtype=np.float32)
    known = np.flatnonzero(kind < 4)
    features[known, 1 + kind[known]] = 1.0
    features[:, 5] = conjugated
    features[:, 6] = in_ring
    _one_hot(features, 7, stereo)
    features[packed < 0] = 0.0
    return features


def _rings_and_patterns(molecule: Chem.Mol, n_atoms: int) -> list[int]:
    """Ten bits for each atom: four for the patterns, then six for rings of three to eight atoms."""
    bits = [0] * n_atoms
    for position, pattern in enumerate(_PATTERNS):
        for match in molecule.GetSubstructMatches(pattern, maxMatches=n_atoms):
            bits[match[0]] |= 1 << position
    for ring in molecule.GetRingInfo().AtomRings():
        if 3 <= len(ring) <= 8:
            for atom in ring:
                bits[atom] |= 1 << (len(ring) + 1)
    return bits


_Columns = tuple[Sequence[Sequence[int]], Sequence[Sequence[int]]]


def encode(molecule: Chem.Mol) -> _Columns:
    """Read raw columns of atoms and of bonds; mapping methods over atoms is the fastest way to read them.

    Raises
    ------
    UnsupportedMoleculeError
        If a charge is outside -6 to 5; the released code fails on such molecules as well.
    """
    atoms = atoms_of(molecule)
    bonds = bonds_of(molecule)
    charges = list(map(Chem.Atom.GetFormalCharge, atoms))
    if charges and not (min(charges) >= -6 and max(charges) <= 5):
        raise UnsupportedMoleculeError("GROVER does not support a charge outside -6 to +5")
    atom_columns = (
        list(map(Chem.Atom.GetAtomicNum, atoms)),
        list(map(Chem.Atom.GetTotalDegree, atoms)),
        charges,
        list(map(int, map(Chem.Atom.GetChiralTag, atoms))),
        list(map(Chem.Atom.GetTotalNumHs, atoms)),
        [_HYBRIDIZATION.get(kind, 5) for kind in map(Chem.Atom.GetHybridization, atoms)],
        list(map(Chem.Atom.GetIsAromatic, atoms)),
        list(map(Chem.Atom.GetNumImplicitHs, atoms)),
        _rings_and_patterns(molecule, len(atoms)),
        list(map(Chem.Atom.GetIsotope, atoms)),
    )
    bond_columns = (
        list(map(Chem.Bond.GetBeginAtomIdx, bonds)),
        list(map(Chem.Bond.GetEndAtomIdx, bonds)),
        [_BOND_TYPE.get(kind, 4) for kind in map(Chem.Bond.GetBondType, bonds)],
        list(map(Chem.Bond.GetIsConjugated, bonds)),
        list(map(Chem.Bond.IsInRing, bonds)),
        list(map(int, map(Chem.Bond.GetStereo, bonds))),
    )
    return atom_columns, bond_columns


def batch_molecules(molecules: Sequence[Chem.Mol]) -> MoleculeBatch:
    """Turn molecules into one disconnected graph of atoms and directed bonds.

    Each bond becomes two directed bonds, one after the other. Bonds are ordered by their lower and then
    by their higher atom, as in the released code.

    Parameters
    ----------
    molecules : sequence of rdkit.Chem.Mol

    Returns
    -------
    MoleculeBatch
        Its content has packed ``atoms`` (n_atoms,) and ``bonds`` (n_edges,); source and
        target, ``edge_index`` (2, n_edges); the molecule of each atom and bond, ``batch`` (n_atoms,) and
        ``bond_batch`` (n_edges,); and ``num_graphs``.
    """
    return MoleculeBatch.of(molecules, encode, collate)


def _columns(encoded: Sequence[_Columns], part: int, count: int) -> list[npt.NDArray[np.int64]]:
    return [
        np.fromiter(chain.from_iterable(columns[part][position] for columns in encoded), dtype=np.int64)
        for position in range(count)
    ]


def _pack_atoms(columns: list[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    element, degree, charge, chirality, hydrogens, hybridization, aromatic, implicit, bits, isotope = columns
    return _pack(
        [
            np.where((element >= 1) & (element <= 100), element - 1, 100),
            np.minimum(degree, 6),
            charge % 6,
            np.minimum(chirality, 4),
            np.minimum(hydrogens, 5),
            hybridization,
            aromatic,
            np.minimum(implicit, 7),
            *((bits >> position) & 1 for position in range(10)),
            element,
            isotope,
        ],
        list(_ATOM_FIELDS.values()),
    )


def collate(encoded: Sequence[_Columns]) -> Graph:
    """Join the columns that :func:`encode` read from each molecule; see :func:`batch_molecules`."""
    atoms = _pack_atoms(_columns(encoded, 0, 10))
    begin, end, kind, conjugated, in_ring, stereo = _columns(encoded, 1, 6)
    n_atoms = np.array([len(columns[0][0]) for columns in encoded], dtype=np.int64)
    n_bonds = np.array([len(columns[1][0]) for columns in encoded], dtype=np.int64)
    shift = np.repeat(np.cumsum(n_atoms) - n_atoms, n_bonds)
    low, high = np.minimum(begin, end) + shift, np.maximum(begin, end) + shift
    order = np.lexsort((high, low))
    bonds = _pack([kind, conjugated, in_ring, np.minimum(stereo, 6)], list(_BOND_FIELDS.values()))
    molecule = np.arange(len(encoded))
    return Graph(
        atoms=torch.from_numpy(atoms),
        bonds=torch.from_numpy(np.repeat(bonds[order], 2)),
        edge_index=torch.from_numpy(
            np.stack(
                [np.stack([low, high], axis=1)[order].ravel(), np.stack([high, low], axis=1)[order].ravel()]
            )
        ),
        batch=torch.from_numpy(np.repeat(molecule, n_atoms)),
        bond_batch=torch.from_numpy(np.repeat(molecule, 2 * n_bonds)),
        num_graphs=len(encoded),
    )
