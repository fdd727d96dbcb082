"""The equations of the D-MPNN one bond at a time in float64, and Chemprop's features."""

import numpy as np
from rdkit import Chem

HYBRIDISATIONS = {
    "v1": ["SP", "SP2", "SP3", "SP3D", "SP3D2"],
    "v2": ["S", "SP", "SP2", "SP2D", "SP3", "SP3D", "SP3D2"],
    "organic": ["S", "SP", "SP2", "SP3"],
}
NUMBERS = {
    "v1": list(range(1, 101)),
    "v2": [*range(1, 37), 53],
    "organic": [1, 5, 6, 7, 8, 9, 14, 15, 16, 17, 35, 53],
}


def one_hot(value, known):
    row = [0.0] * (len(known) + 1)
    row[known.index(value) if value in known else -1] = 1.0
    return row


def atom_features(atom, scheme):
    return [
        *one_hot(atom.GetAtomicNum(), NUMBERS[scheme]),
        *one_hot(atom.GetTotalDegree(), [0, 1, 2, 3, 4, 5]),
        *one_hot(atom.GetFormalCharge(), [-1, -2, 1, 2, 0]),
        *one_hot(int(atom.GetChiralTag()), [0, 1, 2, 3]),
        *one_hot(atom.GetTotalNumHs(), [0, 1, 2, 3, 4]),
        *one_hot(str(atom.GetHybridization()), HYBRIDISATIONS[scheme]),
        float(atom.GetIsAromatic()),
        atom.GetMass() / 100,
    ]


def bond_features(bond):
    return [
        0.0,
        *one_hot(str(bond.GetBondType()), ["SINGLE", "DOUBLE", "TRIPLE", "AROMATIC"])[:-1],
        float(bond.GetIsConjugated()),
        float(bond.IsInRing()),
        *one_hot(int(bond.GetStereo()), [0, 1, 2, 3, 4, 5]),
    ]


def forward(smiles, state, depth, scheme="v2", activation=lambda x: np.maximum(x, 0)):
    """Atoms after each step, by loops over bonds."""
    molecule = Chem.MolFromSmiles(smiles)
    weights = {name: value.double().numpy() for name, value in state.items()}
    width = len(weights["W_o.weight"])
    bias = weights.get("W_i.bias", 0), weights.get("W_h.bias", 0)
    atoms = np.array([atom_features(atom, scheme) for atom in molecule.GetAtoms()])
    bonds = {}
    for bond in molecule.GetBonds():
        ends = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        for v, w in (ends, ends[::-1]):
            bonds[v, w] = weights["W_i.weight"] @ np.array([*atoms[v], *bond_features(bond)]) + bias[0]
    hidden = {edge: activation(value) for edge, value in bonds.items()}
    layers = []
    for step in range(depth):
        if step:
            arrived = {
                (v, w): sum((hidden[u, x] for u, x in hidden if x == v and u != w), np.zeros(width))
                for v, w in hidden
            }
            hidden = {
                edge: activation(bonds[edge] + weights["W_h.weight"] @ arrived[edge] + bias[1])
                for edge in hidden
            }
        sums = np.zeros((len(atoms), width))
        for (_, w), value in hidden.items():
            sums[w] += value
        joined = np.concatenate([atoms, sums], axis=1)
        layers.append(activation(joined @ weights["W_o.weight"].T + weights["W_o.bias"]))
    return layers
