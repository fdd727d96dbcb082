"""Input featurisation of MiniMol (Kläser et al. 2024) for RDKit molecules.

The released package describes molecules with graphium 2.4 in half precision. All values here are rounded to
half precision likewise, because the network was trained on the rounded ones.

Where eigenvalues of the Laplacian are equal (two leaves of one atom, as the oxygens of an acid, are enough),
the basis of their eigenvectors and so the embedding depends on how LAPACK rounds, which differs between kinds
of processors. This is so of the released package too: between five kinds of kernels of OpenBLAS its
fingerprints of drugs differ by up to 0.1, where the largest entry is 6.6. On one machine they are equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from rdkit import Chem
from scipy.linalg import eig

from molrate.data.molecules import atoms_of, bonds_of
from molrate.encoders.batch import MoleculeBatch
from molrate.encoders.graph import Graph
from molrate.errors import UnsupportedMoleculeError

N_EIGENVECTORS = 8
N_STEPS = 16

MAX_ATOMS = 1000
"""Eigenvectors take time with the cube of the number of atoms: some seconds at this limit."""

_N_NUMBERS = 5
"""Features that are numbers: neighbours beyond two, charge, radical electrons, aromatic, in a ring."""
_ELEMENTS = (
    *("C", "N", "O", "S", "F", "Si", "P", "Cl", "Br", "Mg", "Na", "Ca", "Fe", "As", "Al", "I", "B", "V"),
    *("K", "Tl", "Yb", "Sb", "Sn", "Ag", "Pd", "Co", "Se", "Ti", "Zn", "H", "Li", "Ge", "Cu", "Au", "Ni"),
    *("Cd", "In", "Mn", "Zr", "Cr", "Pt", "Hg", "Pb"),
)
"""Elements that have a column; all others share the one after them."""
_N_GROUPS = 19
"""Groups 1-18 of the periodic table, then lanthanides and actinides."""
_N_PERIODS = 7
_MAX_VALENCE = 6
_NOBLE_GASES = (2, 10, 18, 36, 54, 86, 118)

_BOND_TYPES = (Chem.BondType.SINGLE, Chem.BondType.DOUBLE, Chem.BondType.TRIPLE, Chem.BondType.AROMATIC)
_BOND_STEREO = (
    Chem.BondStereo.STEREONONE,
    Chem.BondStereo.STEREOANY,
    Chem.BondStereo.STEREOZ,
    Chem.BondStereo.STEREOE,
    Chem.BondStereo.STEREOCIS,
    Chem.BondStereo.STEREOTRANS,
)
_BOND_TYPE = {kind: code for code, kind in enumerate(_BOND_TYPES)}
_STEREO = {mark: code for code, mark in enumerate(_BOND_STEREO)}

N_TYPES, N_STEREO = len(_BOND_TYPES) + 1, len(_BOND_STEREO) + 1
N_BOND_KINDS = 2 * N_TYPES * N_STEREO
"""Bonds differ in type, stereo mark and ring membership only: a table of kinds describes all of them."""
N_BOND_FEATURES = N_TYPES + N_STEREO + 1

Matrix = npt.NDArray[np.float64]


def _group_and_period(number: int) -> tuple[int, int]:
    """Column and row of an element in the periodic table; lanthanides and actinides have column 19."""
    period = next(row for row, last in enumerate(_NOBLE_GASES, 1) if number <= last)
    before = (0, *_NOBLE_GASES)[period - 1]
    position, length = number - before, _NOBLE_GASES[period - 1] - before
    inner = 3 if length == 32 else 2
    if position <= inner and length > 2:
        return position, period
    if length == 32 and position <= inner + 14:
        return _N_GROUPS, period
    return (position if position == 1 else 18 - (length - position)), period


def _atom_columns() -> npt.NDArray[np.int64]:
    """Columns of element, group and period in the atom's features, shape (119, 3), by atomic number."""
    table = Chem.GetPeriodicTable()
    columns = np.zeros((119, 3), dtype=np.int64)
    first_group = _N_NUMBERS + len(_ELEMENTS) + 1
    first_period = first_group + _N_GROUPS + 1
    for number in range(1, 119):
        symbol = table.GetElementSymbol(number)
        element = _ELEMENTS.index(symbol) if symbol in _ELEMENTS else len(_ELEMENTS)
        group, period = _group_and_period(number)
        columns[number] = _N_NUMBERS + element, first_group + group - 1, first_period + period - 1
    return columns


_COLUMNS = _atom_columns()
_FIRST_VALENCE = _N_NUMBERS + len(_ELEMENTS) + 1 + _N_GROUPS + 1 + _N_PERIODS + 1
N_ATOM_FEATURES = _FIRST_VALENCE + _MAX_VALENCE + 2


class MoleculeGraph(NamedTuple):
    """A molecule with its atoms in canonical order.

    Attributes
    ----------
    atoms : ndarray of float32, shape (n_atoms, 85)
    eigenvalues, eigenvectors : ndarray of float32, shape (n_atoms, 8)
        Of the Laplacian of the atom's connected component; zeros where it has fewer atoms.
    walks : ndarray of float32, shape (n_atoms, 16)
        Probability that a random walk of 1 to 16 steps ends where it began.
    begin, end, kind : ndarray of int64, shape (n_bonds,)
        Bonds, and their row in :func:`bond_table`.
    """

    atoms: npt.NDArray[np.float32]
    eigenvalues: npt.NDArray[np.float32]
    eigenvectors: npt.NDArray[np.float32]
    walks: npt.NDArray[np.float32]
    begin: npt.NDArray[np.int64]
    end: npt.NDArray[np.int64]
    kind: npt.NDArray[np.int64]


def encode(molecule: Chem.Mol) -> MoleculeGraph:
    """Describe a molecule. How its atoms are ordered makes no difference.

    Raises
    ------
    UnsupportedMoleculeError
        If it has a dummy atom, which the released code takes for element 118, or too many atoms.
    """
    if molecule.GetNumAtoms() > MAX_ATOMS:
        raise UnsupportedMoleculeError(f"MiniMol does not support more than {MAX_ATOMS} atoms")
    numbers = list(map(Chem.Atom.GetAtomicNum, atoms_of(molecule)))
    if 0 in numbers:
        raise UnsupportedMoleculeError("MiniMol does not support a dummy atom (*)")
    ranks = list(Chem.CanonicalRankAtoms(molecule))
    if 1 in numbers:
        order = np.argsort(ranks).tolist()
        molecule = Chem.RemoveHs(Chem.RenumberAtoms(molecule, order))
        ranks = list(range(molecule.GetNumAtoms()))
    place = np.array(ranks)
    atoms = np.empty((len(place), N_ATOM_FEATURES), dtype=np.float32)
    atoms[place] = _atom_features(molecule)
    begin, end, kind = _bonds(molecule)
    begin, end = place[begin], place[end]
    adjacency = np.zeros((len(place), len(place)))
    adjacency[begin, end] = adjacency[end, begin] = 1
    values, vectors = _laplacian_eigenvectors(adjacency)
    return MoleculeGraph(atoms, values, vectors, _return_probabilities(adjacency), begin, end, kind)


def _atom_features(molecule: Chem.Mol) -> npt.NDArray[np.float32]:
    """Numbers, then one-hot element, group, period and valence, shape (n_atoms, 85)."""
    atoms = atoms_of(molecule)
    features = np.zeros((len(atoms), N_ATOM_FEATURES), dtype=np.float32)
    features[:, 0] = list(map(Chem.Atom.GetTotalDegree, atoms))
    features[:, 0] -= 2
    features[:, 1] = list(map(Chem.Atom.GetFormalCharge, atoms))
    features[:, 2] = list(map(Chem.Atom.GetNumRadicalElectrons, atoms))
    features[:, 3] = list(map(Chem.Atom.GetIsAromatic, atoms))
    features[:, 4] = list(map(Chem.Atom.IsInRing, atoms))
    rows = np.arange(len(atoms))
    features[rows[:, None], _COLUMNS[list(map(Chem.Atom.GetAtomicNum, atoms))]] = 1
    valences = np.array(list(map(Chem.Atom.GetTotalValence, atoms)), dtype=np.int64)
    features[rows, _FIRST_VALENCE + np.minimum(valences, _MAX_VALENCE + 1)] = 1
    return features


def _bonds(
    molecule: Chem.Mol,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Begin, end and kind of each bond."""
    bonds = bonds_of(molecule)
    begin = np.array(list(map(Chem.Bond.GetBeginAtomIdx, bonds)), dtype=np.int64)
    end = np.array(list(map(Chem.Bond.GetEndAtomIdx, bonds)), dtype=np.int64)
    types = [_BOND_TYPE.get(kind, N_TYPES - 1) for kind in map(Chem.Bond.GetBondType, bonds)]
    stereo = [_STEREO.get(mark, N_STEREO - 1) for mark in map(Chem.Bond.GetStereo, bonds)]
    ring = list(map(Chem.Bond.IsInRing, bonds))
    kind = (np.array(types, dtype=np.int64) * N_STEREO + np.array(stereo, dtype=np.int64)) * 2
    return begin, end, kind + np.array(ring, dtype=np.int64)


def bond_table() -> torch.Tensor:
    """Features of every kind of bond: one-hot type and stereo mark, in a ring; shape (70, 13)."""
    kinds = torch.arange(N_BOND_KINDS)
    table = torch.zeros(N_BOND_KINDS, N_BOND_FEATURES)
    table[kinds, kinds // (2 * N_STEREO)] = 1
    table[kinds, N_TYPES + kinds // 2 % N_STEREO] = 1
    table[:, -1] = kinds % 2
    return table


def _half(values: Matrix) -> npt.NDArray[np.float32]:
    """Real part, rounded to single and then half precision as the released code does."""
    return np.real(values).astype(np.float32).astype(np.float16).astype(np.float32)


def _laplacian_eigenvectors(
    adjacency: Matrix,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Eigenvalues and eigenvectors of each connected component, both of shape (n_atoms, 8)."""
    n_atoms = len(adjacency)
    laplacian = np.diag(adjacency.sum(axis=1)) - adjacency
    components = _components(adjacency)
    values = np.zeros((n_atoms, N_EIGENVECTORS), dtype=complex)
    vectors = np.zeros((n_atoms, N_EIGENVECTORS), dtype=complex)
    if len(components) == 1:
        # In the order of the atoms, not in that of the walk over them.
        components = [list(range(n_atoms))]
    for component in components:
        atoms = np.array(component)
        found_values, found_vectors = _smallest_eigenvectors(laplacian[np.ix_(atoms, atoms)])
        n_found = len(found_values)
        values[atoms, :n_found] = found_values
        vectors[atoms, :n_found] = found_vectors
    return _half(values), _half(vectors)


def _components(adjacency: Matrix) -> list[list[int]]:
    """Atoms of each connected component, in the order in which the released code has them.

    Signs of eigenvectors depend on the order of the atoms. The released code walks over a component
    breadth first and takes the atoms as a Python set of them is iterated.
    """
    neighbours = [np.flatnonzero(row).tolist() for row in adjacency]
    components: list[list[int]] = []
    placed: set[int] = set()
    for start in range(len(adjacency)):
        if start in placed:
            continue
        reached, front = {start}, [start]
        while front:
            front_before, front = front, []
            for atom in front_before:
                for neighbour in neighbours[atom]:
                    if neighbour not in reached:
                        reached.add(neighbour)
                        front.append(neighbour)
        placed |= reached
        components.append(list(reached))
    return components


def _smallest_eigenvectors(laplacian: Matrix) -> tuple[npt.NDArray[np.complex128], Matrix]:
    """Eigenvalues (k,) and eigenvectors (n, k) of the k = min(n, 8) smallest eigenvalues.

    A solver for symmetric matrices would be faster and give other signs, and other bases where eigenvalues
    are equal; the network was trained on those of the general solver.
    """
    values, vectors = eig(laplacian, check_finite=False)
    chosen = np.argsort(values)[:N_EIGENVECTORS]
    values, vectors = values[chosen], vectors[:, chosen]
    norms = np.sqrt(np.sum(vectors**2, axis=0, keepdims=True))
    return values, vectors / np.maximum(norms, 1e-4)


def _return_probabilities(adjacency: Matrix) -> npt.NDArray[np.float32]:
    """Diagonals of the first 16 powers of the random walk's matrix, shape (n_atoms, 16).

    They are computed by torch in single precision: other sums would round to other half precision numbers.
    """
    if len(adjacency) == 1:
        return np.ones((1, N_STEPS), dtype=np.float32)
    weights = torch.from_numpy(adjacency).float()
    degrees = weights.sum(dim=1)
    inverse = torch.where(degrees > 0, degrees.reciprocal(), 0.0)
    step = (inverse[:, None] * weights)[None]
    power, diagonals = step, []
    for _ in range(N_STEPS):
        diagonals.append(power[0].diagonal())
        power = power @ step
    return torch.stack(diagonals, dim=1).half().float().numpy()


def batch_molecules(molecules: Sequence[Chem.Mol]) -> MoleculeBatch:
    """Turn molecules into one disconnected graph.

    Parameters
    ----------
    molecules : sequence of rdkit.Chem.Mol

    Returns
    -------
    MoleculeBatch
        Its content has features of atoms, ``x`` (n_atoms, 85), ``eigenvalues`` and
        ``eigenvectors`` (n_atoms, 8), ``walks`` (n_atoms, 16); source and target, ``edge_index``
        (2, n_edges), sorted by target, then source; kind of bond, ``kind`` (n_edges,); the molecule of each
        atom, ``batch`` (n_atoms,); and ``num_graphs``.
    """
    return MoleculeBatch.of(molecules, encode, collate)


def collate(encoded: Sequence[MoleculeGraph]) -> Graph:
    """Join molecules that :func:`encode` described; see :func:`batch_molecules`."""
    n_atoms = np.array([len(graph.atoms) for graph in encoded], dtype=np.int64)
    n_bonds = np.array([len(graph.kind) for graph in encoded], dtype=np.int64)
    shift = np.repeat(np.cumsum(n_atoms) - n_atoms, n_bonds)
    begin, end, kind = (
        np.fromiter(chain.from_iterable(columns), dtype=np.int64)
        for columns in (
            [graph.begin for graph in encoded],
            [graph.end for graph in encoded],
            [graph.kind for graph in encoded],
        )
    )
    begin, end = begin + shift, end + shift
    source, target = np.concatenate([begin, end]), np.concatenate([end, begin])
    order = np.lexsort((source, target))
    return Graph(
        x=_joined([graph.atoms for graph in encoded], N_ATOM_FEATURES),
        eigenvalues=_joined([graph.eigenvalues for graph in encoded], N_EIGENVECTORS),
        eigenvectors=_joined([graph.eigenvectors for graph in encoded], N_EIGENVECTORS),
        walks=_joined([graph.walks for graph in encoded], N_STEPS),
        edge_index=torch.from_numpy(np.stack([source, target])[:, order]),
        kind=torch.from_numpy(np.concatenate([kind, kind])[order]),
        batch=torch.from_numpy(np.repeat(np.arange(len(encoded)), n_atoms)),
        num_graphs=len(encoded),
    )


def _joined(parts: list[npt.NDArray[np.float32]], width: int) -> torch.Tensor:
    """Rows of all molecules, shape (n_atoms, width)."""
    return torch.from_numpy(np.concatenate([np.empty((0, width), dtype=np.float32), *parts]))
