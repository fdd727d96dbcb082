"""pretrain-gnns written a second time, from its published equations, with dense matrices.

One molecule at a time, in float64 NumPy, with a plain loop over bonds: it shares no code with molrate,
neither the features nor the convolutions, and is what molrate's networks are compared with.
"""

import numpy as np
from rdkit import Chem

TYPES = {"SINGLE": 0, "DOUBLE": 1, "TRIPLE": 2, "AROMATIC": 3}
DIRECTIONS = {"NONE": 0, "ENDUPRIGHT": 1, "ENDDOWNRIGHT": 2}
CHIRALITY = {"CHI_UNSPECIFIED": 0, "CHI_TETRAHEDRAL_CW": 1, "CHI_TETRAHEDRAL_CCW": 2}


def edges_of(molecule):
    """(target, source, type, direction) of every edge, self-loops (type 4) included."""
    edges = [(atom.GetIdx(), atom.GetIdx(), 4, 0) for atom in molecule.GetAtoms()]
    for bond in molecule.GetBonds():
        kind = TYPES[str(bond.GetBondType())], DIRECTIONS[str(bond.GetBondDir())]
        begin, end = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        edges += [(end, begin, *kind), (begin, end, *kind)]
    return edges


def forward(smiles, state, architecture):
    """Node embeddings of the input and the five layers, each (n_atoms, 300)."""
    weights = {name: np.asarray(tensor, dtype=np.float64) for name, tensor in state.items()}
    molecule = Chem.MolFromSmiles(smiles)
    hidden = np.stack(
        [
            weights["x_embedding1.weight"][atom.GetAtomicNum() - 1]
            + weights["x_embedding2.weight"][CHIRALITY[str(atom.GetChiralTag())]]
            for atom in molecule.GetAtoms()
        ]
    )
    layers = [hidden]
    edges = edges_of(molecule)
    for depth in range(5):
        own = {
            name.removeprefix(f"gnns.{depth}."): value
            for name, value in weights.items()
            if name.startswith(f"gnns.{depth}.")
        }
        hidden = CONVOLUTIONS[architecture](layers[-1], edges, own)
        norm = {
            key: weights[f"batch_norms.{depth}.{key}"]
            for key in ("running_mean", "running_var", "weight", "bias")
        }
        scale = norm["weight"] / np.sqrt(norm["running_var"] + 1e-5)
        hidden = (hidden - norm["running_mean"]) * scale + norm["bias"]
        layers.append(np.maximum(hidden, 0) if depth < 4 else hidden)
    return layers


def bond_vector(own, kind, direction):
    return own["edge_embedding1.weight"][kind] + own["edge_embedding2.weight"][direction]


def summed(x, edges, own, weight):
    """Dense aggregation: matrix of edge weights times nodes, plus weighted bond vectors."""
    matrix = np.zeros((len(x), len(x)))
    bonds = np.zeros_like(x)
    for target, source, kind, direction in edges:
        matrix[target, source] += weight[target, source]
        bonds[target] += weight[target, source] * bond_vector(own, kind, direction)
    return matrix @ x + bonds


def gin(x, edges, own):
    total = summed(x, edges, own, np.ones((len(x), len(x))))
    inner = np.maximum(total @ own["mlp.0.weight"].T + own["mlp.0.bias"], 0)
    return inner @ own["mlp.2.weight"].T + own["mlp.2.bias"]


def degrees(edges, n):
    degree = np.zeros(n)
    for _, source, _, _ in edges:
        degree[source] += 1
    return degree


def gcn(x, edges, own):
    degree = degrees(edges, len(x))
    x = x @ own["linear.weight"].T + own["linear.bias"]
    return summed(x, edges, own, 1 / np.sqrt(np.outer(degree, degree)))


def graphsage(x, edges, own):
    degree = degrees(edges, len(x))
    x = x @ own["linear.weight"].T + own["linear.bias"]
    mean = summed(x, edges, own, np.ones((len(x), len(x)))) / degree[:, None]
    return mean / np.linalg.norm(mean, axis=1, keepdims=True)


def gat(x, edges, own):
    n, width = x.shape
    x = (x @ own["weight_linear.weight"].T + own["weight_linear.bias"]).reshape(n, 2, width)
    output = np.zeros((n, width))
    for head in range(2):
        scores = {}
        vectors = {}
        for target, source, kind, direction in edges:
            message = x[source, head] + bond_vector(own, kind, direction).reshape(2, width)[head]
            score = own["att"][0, head] @ np.concatenate([x[target, head], message])
            scores[target, source] = score if score > 0 else 0.2 * score
            vectors[target, source] = message
        for (target, source), score in scores.items():
            # Scores of trained attention reach hundreds: an overflow to infinity is a weight of zero.
            with np.errstate(over="ignore"):
                norm = sum(np.exp(other - score) for (end, _), other in scores.items() if end == target)
            output[target] += vectors[target, source] / norm
    return output / 2 + own["bias"]


CONVOLUTIONS = {"gin": gin, "gcn": gcn, "graphsage": graphsage, "gat": gat}
