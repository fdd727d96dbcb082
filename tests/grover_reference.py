"""GROVER as its released code computes it, from that code's description: padded tables, no folding, float64.

State names are the released ones. Row 0 of atoms and of bonds is the padding row.
"""

import math

import torch
from torch.nn.functional import elu, layer_norm, leaky_relu, prelu, relu, selu

from molrate.encoders.grover.graphs import atom_features, bond_features


class Tables:
    """Features and neighbour tables of a batch with k slots, or without padding rows' influence."""

    def __init__(self, graph, slots, padded):
        self.n_atoms, self.n_bonds = len(graph.atoms), graph.edge_index.shape[1]
        self.b2a = [0] + [int(atom) + 1 for atom in graph.edge_index[0]]
        target = [0] + [int(atom) + 1 for atom in graph.edge_index[1]]
        self.b2revb = [0] + [(bond ^ 1) + 1 for bond in range(self.n_bonds)]
        into = [[] for _ in range(self.n_atoms + 1)]
        for bond in range(1, self.n_bonds + 1):
            into[target[bond]].append(bond)
        fill = [0] * slots if padded else []
        self.a2b = [bonds + fill[len(bonds) :] for bonds in into]
        self.a2a = [[self.b2a[bond] for bond in bonds] for bonds in self.a2b]
        atoms = torch.from_numpy(atom_features(graph.atoms.numpy())).double()
        self.atoms = torch.cat([torch.zeros(1, 151).double(), atoms])
        own = torch.from_numpy(bond_features(graph.bonds.numpy())).double()
        self.bonds = torch.cat([self.atoms[self.b2a[1:]], own], dim=1)
        self.bonds = torch.cat([torch.zeros(1, 165).double(), self.bonds])


def gather(rows, table):
    zero = torch.zeros(rows.shape[1], dtype=rows.dtype)
    return torch.stack([rows[entries].sum(dim=0) if entries else zero for entries in table])


class Reference:
    def __init__(self, state, config):
        self.state = {name: value.double() for name, value in state.items()}
        self.config = config

    def act(self, rows, name):
        kind = self.config["activation"]
        if kind == "PReLU":
            return prelu(rows, self.state[f"{name}.weight"])
        plain = {"ReLU": relu, "tanh": torch.tanh, "SELU": selu, "ELU": elu}
        return leaky_relu(rows, 0.1) if kind == "LeakyReLU" else plain[kind](rows)

    def linear(self, rows, name):
        product = rows @ self.state[f"{name}.weight"].T
        return product + self.state[f"{name}.bias"] if f"{name}.bias" in self.state else product

    def norm(self, rows, name):
        return layer_norm(
            rows, rows.shape[-1:], self.state[f"{name}.weight"], self.state[f"{name}.bias"], 1e-5
        )

    def net(self, rows, name, tables, of_atoms):
        message = rows
        for _ in range(self.config["depth"] - 1):
            if of_atoms:
                message_in = gather(message, tables.a2a)
            else:
                message_in = gather(message, tables.a2b)[tables.b2a] - message[tables.b2revb]
            update = self.linear(message_in, f"{name}.W_h")
            message = self.act(update if self.config["dense"] else rows + update, f"{name}.act_func")
        return message

    def block(self, rows, name, tables, of_atoms):
        if rows.shape[1] != self.config["width"]:
            rows = self.norm(
                self.act(self.linear(rows, f"{name}.W_i"), f"{name}.act_func"), f"{name}.layernorm"
            )
        heads = range(self.config["n_heads"])
        queries, keys, values = (
            self.linear(
                torch.stack(
                    [self.net(rows, f"{name}.heads.{head}.mpn_{letter}", tables, of_atoms) for head in heads],
                    1,
                ),
                f"{name}.attn.linear_layers.{number}",
            )
            for number, letter in enumerate("qkv")
        )
        joined = []
        for part in torch.arange(self.config["width"]).chunk(self.config["n_heads"]):
            scores = queries[:, :, part] @ keys[:, :, part].transpose(1, 2) / math.sqrt(len(part))
            joined.append(scores.softmax(dim=-1) @ values[:, :, part])
        attended = self.linear(torch.cat(joined, dim=2), f"{name}.attn.output_linear")
        return rows, self.norm(self.linear(attended.flatten(1), f"{name}.W_o"), f"{name}.sublayer.norm")

    def output(self, branch, features, total):
        name = branch.replace("-", "_")
        hidden = self.linear(torch.cat([features, total], dim=1), f"ffn_{name}.W_1")
        return self.norm(
            self.linear(self.act(hidden, f"ffn_{name}.act_func"), f"ffn_{name}.W_2"), f"{name}_sublayer.norm"
        )

    def layers(self, tables):
        """Every node-level layer, padding rows removed."""
        found = {}
        last = {}
        for view, name, rows in (("atom", "node", tables.atoms), ("bond", "edge", tables.bonds)):
            for number in range(self.config["n_blocks"]):
                rows_in, rows = self.block(rows, f"{name}_blocks.{number}", tables, view == "atom")
                if number == 0:
                    found[f"{view}-input"] = rows_in
                found[f"{view}-block-{number + 1}"] = rows
            last[view] = rows
        atoms, bonds = last["atom"], last["bond"]
        ends = [tables.b2a[bond] for bond in tables.b2revb]
        around = [[atom, *tables.a2a[atom]] for atom in tables.b2a]
        sums = {
            "atom-from-atom": gather(atoms, tables.a2a),
            "atom-from-bond": gather(bonds, tables.a2b),
            "bond-from-atom": gather(atoms, around) - atoms[ends],
            "bond-from-bond": gather(bonds, tables.a2b)[tables.b2a] - bonds[tables.b2revb],
        }
        for branch, total in sums.items():
            features = tables.atoms if branch.startswith("atom") else tables.bonds
            found[branch] = self.output(branch, features, total)
        return {layer: rows[1:] for layer, rows in found.items()}
