"""Sketched gradients against whole gradients by autograd, molecule by molecule."""

import re

import numpy as np
import pytest
import torch
from rdkit import Chem

import molrate
from molrate.data.molecules import standardise
from molrate.embedding import sketcher
from molrate.embedding.cache import COLUMNS, DIMENSIONS
from molrate.embedding.gradients import sketch_gradients
from molrate.embedding.sketcher import Sketcher
from molrate.encoders.base import load_encoder
from molrate.encoders.dmpnn.network import DMPNN, TrainableDMPNN
from molrate.encoders.minimol.network import MiniMol, TrainableMiniMol
from molrate.encoders.molclr.network import MolCLR, TrainableMolCLR
from molrate.encoders.registered import register_encoder

# Molecules of one atom, without bonds, equal to others, and in which equally many atoms and bonds occur.
SMILES = [
    "CCO",
    "C",
    "[Na+].[Cl-]",
    "c1ccccc1C(=O)N[C@@H](C)C#N",
    "CCC",
    "CCO",
    "O=S(=O)(O)c1ccc(Br)cc1",
    "CC",
]


def language_model(tmp_path):
    transformers = pytest.importorskip("transformers", reason="NOT TESTED: pip install 'molrate[hf]'")
    tokens = [*"CcOnNFS()=#/\\.12", "Cl", "Br", "[Na+]", "[Cl-]", "[C@@H]"]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *tokens]
    config = transformers.CONFIG_MAPPING["albert"](
        vocab_size=len(tokens),
        hidden_size=16,
        embedding_size=8,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=24,
        pad_token_id=0,
    )
    model = transformers.AutoModel.from_config(config)
    for value in model.parameters():
        torch.nn.init.normal_(value, std=0.3)
    model.save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join(tokens) + "\n")
    return load_encoder(f"hf:{tmp_path}").trainable()


MAKERS = {
    **{
        name: lambda tmp_path, name=name: load_encoder(name).trainable()
        for name in (
            "gin-untrained",
            "gcn-untrained",
            "gat-untrained",
            "graphsage-untrained",
            "grover-small-chembl",
            "chemnet-untrained",
        )
    },
    "chemprop": lambda tmp_path: TrainableDMPNN(DMPNN(20, 3, bias=True), "mean"),
    "minimol": lambda tmp_path: TrainableMiniMol(MiniMol(3, 16, 24), "max"),
    "molclr gin": lambda tmp_path: TrainableMolCLR(MolCLR("gin", 3, 12, 20), "mean"),
    "molclr gcn": lambda tmp_path: TrainableMolCLR(MolCLR("gcn", 3, 12, 20), "mean"),
    "language model": language_model,
}


@pytest.fixture(params=MAKERS)
def trainable(request, tmp_path):
    torch.manual_seed(0)
    return MAKERS[request.param](tmp_path).eval()


def encode(trainable, smiles=SMILES):
    return [trainable.encode(Chem.MolFromSmiles(text)) for text in smiles]


def make_sketcher(trainable, columns=1):
    return Sketcher(trainable, np.random.default_rng(0).normal(size=(trainable.width, columns)))


def part_of(gradient, key):
    """The part of a matrix's gradient that belongs to a key: its name, where the part starts, its shape."""
    _, offset, shape = key.split(" ", 2)
    n_outputs, n_inputs = map(int, shape.strip("()").split(", "))
    if re.search(r"gnns\.\d+\.weight ", key):
        # MolCLR's GCN multiplies by the matrix from the other side.
        return gradient.T
    rows = gradient.reshape(n_outputs, -1)
    return rows[:, int(offset) : int(offset) + n_inputs]


def sketch_whole(sketcher, trainable, encoded):
    """The sketch of one molecule from its whole gradient, through the pass that training takes."""
    parameters = dict(trainable.named_parameters())
    for value in parameters.values():
        value.requires_grad_(True)
    predictions = (trainable(trainable.collate([encoded])) @ sketcher.head).sum(dim=0)
    total = torch.zeros(COLUMNS, dtype=sketcher.dtype)
    for column, prediction in enumerate(predictions):
        names = list(parameters)
        found = torch.autograd.grad(prediction, parameters.values(), retain_graph=True, allow_unused=True)
        by_name = dict(zip(names, found, strict=True))
        for key in sketcher.keys:
            gradient = by_name[key.split(" ")[0]]
            if gradient is None:
                continue
            part = part_of(gradient, key)
            of_inputs, of_outputs = sketcher.projections(key, part.shape[1], part.shape[0])
            places, signs = sketcher._placed(f"{key} {column}")
            total.index_add_(0, places, (of_outputs.T @ part @ of_inputs).flatten() * signs)
    for value in parameters.values():
        value.requires_grad_(False)
    return total


def assert_rows_close(found, expected, limit):
    deviation = (found - expected).norm(dim=1) / expected.norm(dim=1)
    assert float(deviation.max()) < limit


def test_each_molecule_has_the_sketch_of_its_whole_gradient_whatever_the_batch(trainable):
    encoded, sketcher = encode(trainable), make_sketcher(trainable, columns=2)
    together = sketcher.sketch(encoded)
    assert together.shape == (len(SMILES), COLUMNS)
    whole = torch.stack([sketch_whole(sketcher, trainable, one) for one in encoded])
    assert_rows_close(together, whole, 2e-4)
    order = [5, 2, 7, 0, 3, 6, 1, 4]
    again = sketcher.sketch([encoded[place] for place in order])
    assert_rows_close(again, together[order], 2e-4)
    # Equal molecules have equal sketches.
    assert_rows_close(together[:1], together[5:6], 1e-6)


def test_in_double_precision_company_moves_only_the_last_digits():
    torch.manual_seed(1)
    for trainable in (
        load_encoder("gin-untrained").trainable(),
        TrainableMolCLR(MolCLR("gcn", 3, 9, 5), "sum"),
    ):
        trainable = trainable.double().eval()
        encoded, sketcher = encode(trainable), make_sketcher(trainable)
        together = sketcher.sketch(encoded)
        assert_rows_close(together, torch.cat([sketcher.sketch([one]) for one in encoded]), 1e-12)


def test_all_matrices_of_a_network_are_sketched(trainable):
    sketcher = make_sketcher(trainable)
    sketcher.sketch(encode(trainable))
    sketched = {key.split(" ")[0] for key in sketcher.keys}
    matrices = {
        name
        for name, value in trainable.named_parameters()
        if value.ndim > 1
        and "embedding" not in name.replace("embedding_hidden", "")
        and ".att" not in name[-4:]
    }
    assert matrices == sketched


def test_kinds_of_rows_that_their_number_does_not_tell_apart_are():
    """Methane and propane have four atoms and four directed bonds, but not of the same molecules."""
    torch.manual_seed(0)
    trainable = TrainableDMPNN(DMPNN(20, 3), "mean").eval()
    encoded, sketcher = encode(trainable, ["C", "CCC"]), make_sketcher(trainable)
    owners = trainable.separate(encoded).owners
    assert [owner.tolist() for owner in owners] == [[0, 1, 1, 1], [1, 1, 1, 1]]
    whole = torch.stack(
        [sketch_whole(sketcher, trainable, one) for one in encoded if sketcher.sketch(encoded) is not None]
    )
    assert_rows_close(sketcher.sketch(encoded), whole, 1e-4)


def test_a_network_that_does_not_tell_its_rows_passes_molecules_one_at_a_time():
    class Letters(torch.nn.Module):
        """Reads letters, so that its linear map has a row for each."""

        def __init__(self):
            super().__init__()
            self.map = torch.nn.Linear(4, 6)

        def forward(self, smiles):
            numbers = [torch.tensor([ord(letter) % 7 for letter in text]).float() for text in smiles]
            rows = self.map(torch.cat(numbers)[:, None] ** torch.arange(4) / 100)
            return torch.stack(
                [part.tanh().sum(dim=0) for part in rows.split([len(text) for text in smiles])]
            )

    torch.manual_seed(3)
    encoder = register_encoder("letters", Letters())
    trainable = encoder.trainable().eval()
    encoded, sketcher = encode(trainable), make_sketcher(trainable)
    together = sketcher.sketch(encoded)
    whole = torch.stack([sketch_whole(sketcher, trainable, one) for one in encoded])
    assert_rows_close(together, whole, 1e-4)


def test_the_kernel_of_sketches_is_near_that_of_whole_gradients():
    """On a small network; the mean over pairs and its spread, for unit rows."""
    trainable = load_encoder("gin-untrained").trainable().eval()
    smiles = molrate.load_dataset("esol").smiles[:24].tolist()
    encoded, sketcher = encode(trainable, smiles), make_sketcher(trainable)
    sketched = sketcher.sketch(encoded)
    names = {key.split(" ")[0] for key in sketcher.keys}
    matrices = [value.requires_grad_(True) for name, value in trainable.named_parameters() if name in names]
    whole = torch.stack(
        [
            torch.cat(
                [
                    gradient.flatten()
                    for gradient in torch.autograd.grad(
                        (trainable(trainable.collate([one])) @ sketcher.head).sum(), matrices
                    )
                ]
            )
            for one in encoded
        ]
    )
    kernels = [torch.nn.functional.normalize(rows.double()) for rows in (sketched, whole)]
    found, expected = (rows @ rows.T for rows in kernels)
    errors = (found - expected)[~torch.eye(len(encoded), dtype=bool)]
    assert float(errors.square().mean().sqrt()) < 0.06
    assert abs(float(errors.mean())) < 0.03
    assert float(torch.corrcoef(torch.stack([found.flatten(), expected.flatten()]))[0, 1]) > 0.9


def test_sketches_are_kept_by_what_the_head_is_fitted_to(fresh_cache, monkeypatch):
    molecules, encoder = standardise(SMILES), load_encoder("gcn-untrained")
    rows = np.array([6, 0, 3])
    head = np.random.default_rng(1).normal(size=(300, 1))
    first = sketch_gradients(molecules, rows, encoder, lambda: head, "a", device="cpu")
    assert first.shape == (3, COLUMNS)
    assert first.dtype == np.float32

    def refuse(*_):
        raise AssertionError("computed anew")

    with monkeypatch.context() as patch:
        patch.setattr(sketcher, "Sketcher", refuse)
        again = sketch_gradients(molecules, rows, encoder, refuse, "a", device="cpu")
        with pytest.raises(AssertionError):
            sketch_gradients(molecules, rows, encoder, lambda: head, "b", device="cpu")
        with pytest.raises(AssertionError):
            sketch_gradients(molecules, rows, encoder, lambda: head, "a", pooling="sum", device="cpu")
    np.testing.assert_array_equal(again, first)
    turned = sketch_gradients(molecules, rows, encoder, lambda: -head, "b", device="cpu")
    np.testing.assert_allclose(turned, -first, rtol=1e-5, atol=1e-6)


def test_the_network_and_the_generator_are_left_as_they_were():
    encoder = load_encoder("gcn-untrained")
    before = encoder.trainable().state_dict()
    torch.manual_seed(5)
    state = torch.get_rng_state()
    sketch_gradients(standardise(SMILES), np.arange(3), encoder, lambda: np.ones((300, 1)), "x", device="cpu")
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in encoder.trainable().state_dict().items())


def test_signs_are_of_unit_length_on_average():
    sketcher = make_sketcher(load_encoder("gcn-untrained").trainable().eval())
    of_inputs, of_outputs = sketcher.projections("a 0 (40, 30)", 30, 40)
    assert of_inputs.shape == (30, DIMENSIONS)
    assert of_outputs.shape == (40, DIMENSIONS)
    np.testing.assert_allclose((of_inputs**2).sum(dim=1), 1, rtol=1e-5)
