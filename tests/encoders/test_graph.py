import subprocess
import sys

import numpy as np
import pytest
import torch
from rdkit import Chem
from torch_geometric.data import Data

from molrate.encoders.base import load_encoder
from molrate.encoders.graph import Graph

MOLECULES = [Chem.MolFromSmiles(text) for text in ("CCO", "C", "c1ccccc1C(=O)N")]
FAMILIES = [
    "chemprop-untrained",
    "gat-untrained",
    "gin-untrained",
    "grover-small-untrained",
    "minimol-untrained",
]


@pytest.mark.parametrize("name", FAMILIES)
def test_pytorch_geometrics_data_does_as_well(name):
    encoder = load_encoder(name)
    content = encoder.featurise(MOLECULES).content
    assert isinstance(content, Graph)
    tensors = {key: value for key, value in vars(content).items() if isinstance(value, torch.Tensor)}
    data = Data(num_graphs=content.num_graphs, **tensors)
    layers = encoder.layers[-1:]
    own, other = (encoder.embed(each, layers, "mean")[layers[0]] for each in (content, data))
    np.testing.assert_array_equal(own, other)


def test_a_graph_moves_as_a_whole_and_stays_as_it_was():
    graph = Graph(2, edge_index=torch.zeros(2, 0, dtype=torch.long), batch=torch.tensor([0, 1]))
    moved = graph.to("meta")
    assert {moved.edge_index.device.type, moved.batch.device.type} == {"meta"}
    assert graph.batch.device.type == "cpu"
    assert moved.num_graphs == 2


def test_a_graph_with_more_has_the_rest_too():
    graph = Graph(1, batch=torch.tensor([0]))
    more = graph.having(batch=torch.tensor([0, 0]), kind=torch.tensor([1]))
    assert more.batch.tolist() == [0, 0]
    assert more.kind.tolist() == [1]
    assert not hasattr(graph, "kind")


def test_networks_of_our_own_do_not_wait_for_pytorch_geometric():
    program = (
        "import sys; from rdkit import Chem; from molrate.encoders.base import load_encoder\n"
        "for name in ('grover-small-untrained', 'chemprop-untrained', 'minimol-untrained'):\n"
        "    encoder = load_encoder(name)\n"
        "    encoder.trainable()\n"
        "    content = encoder.featurise([Chem.MolFromSmiles('CCO')]).content\n"
        "    encoder.embed(content, encoder.layers[-1:], 'mean')\n"
        "print('torch_geometric' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
