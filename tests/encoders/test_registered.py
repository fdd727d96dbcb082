import re

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_matrix
from sklearn.preprocessing import FunctionTransformer

import molrate
from molrate.data.molecules import parse_canonical, standardise
from molrate.embedding.embed import embed_one
from molrate.embedding.table import embed_table
from molrate.encoders import base
from molrate.encoders.base import encoder_names, load_encoder
from molrate.errors import InputError, UsageError, WeightsError

ATOMS = "CNOcn"


@pytest.fixture(autouse=True)
def _registry(monkeypatch):
    monkeypatch.setattr(base, "_REGISTERED", {})


def counts(smiles):
    return np.array([[text.count(atom) for atom in ATOMS] for text in smiles])


class Counts(torch.nn.Module):
    """Counts of atoms through a linear map."""

    def __init__(self, several=False):
        super().__init__()
        torch.manual_seed(0)
        self.linear = torch.nn.Linear(len(ATOMS), 3)
        self.several = several

    def forward(self, smiles):
        counted = torch.tensor(counts(smiles), dtype=torch.float32, device=self.linear.weight.device)
        hidden = self.linear(counted)
        return {"counts": counted, "hidden": hidden} if self.several else hidden


def test_a_function_is_an_encoder_by_name_and_as_an_object():
    encoder = molrate.register_encoder("counts", counts, title="counts of atoms")
    assert molrate.embed(["OCC", "bad", "N"], "counts")[0].tolist() == [2, 0, 1, 0, 0]
    np.testing.assert_array_equal(molrate.embed(["CCO"], encoder), molrate.embed(["CCO"], "counts"))
    row = next(row for row in molrate.list_encoders() if row["encoder"] == "counts")
    assert row["kind"] == "pretrained"
    assert row["what"] == "counts of atoms"
    with pytest.raises(UsageError, match="nothing to train"):
        encoder.trainable()


def test_a_registered_encoder_is_ranked_among_others():
    molrate.register_encoder("counts", counts, kind="baseline")
    ranking = molrate.score("freesolv", encoders=["counts", "ecfp4"], measures=["transrate"])
    assert set(ranking.frame["encoder"]) == {"counts", "ecfp4"}


def test_rows_without_numbers_are_molecules_that_are_not_supported():
    def only_small(smiles):
        return np.array([[np.nan if len(text) > 3 else len(text)] for text in smiles])

    molrate.register_encoder("small", only_small)
    vectors = molrate.embed(["CC", "CCCCCC", "C"], "small")
    assert np.isnan(vectors[:, 0]).tolist() == [False, True, False]


def test_transformers_of_scikit_learn_and_sparse_output():
    transformer = FunctionTransformer(lambda smiles: csr_matrix(counts(smiles)))
    molrate.register_encoder("sparse", transformer)
    np.testing.assert_array_equal(molrate.embed(["CCO"], "sparse"), counts(["CCO"]))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda smiles: np.zeros(len(smiles)), "returned shape"),
        (lambda smiles: np.zeros((1, 2)), "returned shape"),
        (lambda smiles: 1 / 0, "ZeroDivisionError"),
        (lambda smiles: {"other": counts(smiles)}, "no layer output"),
    ],
)
def test_functions_that_do_something_else_are_named(function, message):
    molrate.register_encoder("wrong", function)
    with pytest.raises(InputError, match=message):
        molrate.embed(["CC", "CCC"], "wrong")


def test_what_cannot_be_registered():
    with pytest.raises(UsageError, match="ecfp4: an encoder of that name"):
        molrate.register_encoder("ecfp4", counts)
    with pytest.raises(UsageError, match="callable"):
        molrate.register_encoder("number", 3)
    with pytest.raises(UsageError, match="kind"):
        molrate.register_encoder("counts", counts, kind="best")
    with pytest.raises(UsageError, match="names that differ"):
        molrate.register_encoder("counts", counts, layers=("a", "a"))
    assert not {"number", "counts"} & set(encoder_names())


def test_a_name_stands_for_what_was_registered_last():
    molrate.register_encoder("counts", counts)
    assert molrate.embed(["CCO"], "counts").shape == (1, 5)
    molrate.register_encoder("counts", lambda smiles: counts(smiles)[:, :2])
    assert molrate.embed(["CCO"], "counts").shape == (1, 2)


def test_the_cache_is_read_again_for_a_version_and_for_the_weights_of_a_module(fresh_cache):
    calls = []

    def called(smiles):
        calls.append(len(smiles))
        return counts(smiles)

    for version, expected in [("1", 1), ("1", 1), ("2", 2), (None, 3), (None, 4)]:
        molrate.register_encoder("called", called, version=version)
        molrate.embed(["CCO"], "called")
        assert len(calls) == expected
    module = Counts()
    molrate.register_encoder("module", module, version="1")
    first = molrate.embed(["CCO"], "module")
    with torch.no_grad():
        module.linear.bias += 1
    np.testing.assert_allclose(molrate.embed(["CCO"], "module"), first + 1, rtol=1e-6)


@pytest.mark.parametrize("several", [False, True])
def test_a_module_is_embedded_tuned_written_and_read(several, tmp_path):
    layers = ("counts", "hidden") if several else ("output",)
    encoder = molrate.register_encoder("module", Counts(several), layers=layers)
    assert encoder.n_transferable == 1
    expected = molrate.embed(["CCO", "CN"], encoder)
    trainable = encoder.trainable()
    batch = trainable.collate([trainable.encode(parse_canonical(text)) for text in ("CCO", "CN")])
    np.testing.assert_allclose(trainable(batch.to("cpu")).detach(), expected, rtol=1e-6)
    trainable(batch).square().sum().backward()
    assert all(parameter.grad is not None for parameter in trainable.parameters())
    with torch.no_grad():
        trainable.network.linear.weight *= 2
    np.testing.assert_array_equal(molrate.embed(["CCO", "CN"], encoder), expected)
    encoder.write_weights(trainable.network, tmp_path / "tuned.safetensors")
    tuned = load_encoder("module", weights=tmp_path / "tuned.safetensors")
    np.testing.assert_allclose(
        molrate.embed(["CCO", "CN"], tuned), trainable(batch).detach().numpy(), rtol=1e-6
    )
    with pytest.raises(UsageError, match="drawn at random"):
        encoder.trainable(0)
    load_encoder("gin-untrained").write_weights(
        load_encoder("gin-untrained").trainable().network, tmp_path / "gin.safetensors"
    )
    with pytest.raises(WeightsError, match="not weights of this architecture"):
        load_encoder("module", weights=tmp_path / "gin.safetensors").prepare()


def test_a_module_that_was_trained_meanwhile_is_embedded_as_it_is_now(fresh_cache):
    module = Counts()
    encoder = molrate.register_encoder("module", module, version="1")
    first = molrate.embed(["CCO"], encoder)
    with torch.no_grad():
        module.linear.bias += 1
    np.testing.assert_allclose(molrate.embed(["CCO"], encoder), first + 1, rtol=1e-6)
    np.testing.assert_allclose(molrate.embed(["CCO"], "module"), first + 1, rtol=1e-6)
    trainable = encoder.trainable()
    assert torch.equal(trainable.network.linear.bias, module.linear.bias)


def test_a_module_without_numbers_for_a_molecule_does_not_support_it(fresh_cache):
    class Partial(Counts):
        def forward(self, smiles):
            hidden = super().forward(smiles)
            return torch.where(torch.tensor([["F" in text] for text in smiles]), torch.nan, hidden)

    molrate.register_encoder("partial", Partial(), version="1")
    smiles = ["C" * n + end for n in range(1, 31) for end in ("O", "N")] + ["CF"]
    for _ in range(2):
        # Computed, then out of the cache.
        ranking = molrate.score(smiles, range(61), encoders=["partial", "ecfp4"], measures=["logme"])
        assert ranking.frame.set_index("encoder")["status"].to_dict() == {"partial": "ok", "ecfp4": "ok"}
        assert set(ranking.frame["n"]) == {60}


def test_two_encoders_of_one_name_are_not_ranked_together():
    one = molrate.register_encoder("two", counts)
    other = molrate.register_encoder("two", lambda smiles: counts(smiles)[:, :2])
    smiles = ["C" * n + end for n in range(1, 31) for end in ("O", "N")]
    with pytest.raises(UsageError, match="two encoders are called two"):
        molrate.score(smiles, range(60), encoders=[one, other])
    once = molrate.score(smiles, range(60), encoders=["ecfp4", "ecfp4"], measures=["logme"])
    assert once.frame["encoder"].tolist() == ["ecfp4"]


def test_a_layer_out_of_the_cache_has_its_own_rows_without_numbers(fresh_cache):
    class Two(Counts):
        def forward(self, smiles):
            hidden = super().forward(smiles)
            without = torch.tensor([["F" in text] for text in smiles])
            return {"a": hidden, "b": torch.where(without, torch.nan, hidden)}

    encoder = molrate.register_encoder("both", Two(), layers=("a", "b"), version="1")
    molecules = standardise(["CCO", "CF"])
    assert embed_one(molecules, encoder, ["a", "b"]).errors == {1: "its embedding is not finite"}
    assert embed_one(molecules, encoder, ["a"]).errors == {}
    assert embed_one(molecules, encoder, ["b"]).errors == {1: "its embedding is not finite"}


class TiedCounts(Counts):
    """Its second map has the weights of its first, as the head of a language model has."""

    def __init__(self):
        super().__init__()
        self.back = torch.nn.Linear(3, len(ATOMS), bias=False)
        self.back.weight = torch.nn.Parameter(self.linear.weight.T)
        self.again = torch.nn.Linear(len(ATOMS), 3, bias=False)
        self.again.weight = self.linear.weight

    def forward(self, smiles):
        hidden = super().forward(smiles)
        return hidden + self.again(self.back(torch.tanh(hidden)))


def test_weights_that_share_memory_are_written_and_read(tmp_path):
    smiles = ["C" * n + end for n in range(1, 25) for end in ("O", "N")]
    encoder = molrate.register_encoder("tied", TiedCounts())
    encoder.write_weights(encoder.module, tmp_path / "tied.safetensors")
    read = load_encoder("tied", tmp_path / "tied.safetensors")
    np.testing.assert_array_equal(molrate.embed(smiles, read), molrate.embed(smiles, encoder))
    table = pd.DataFrame({"smiles": smiles, "y": [float(len(text)) for text in smiles]})
    molrate.finetune(table, "tied", tmp_path / "model", target="y", n_epochs=1)
    model = molrate.load_model(tmp_path / "model")
    assert np.isfinite(model.predict(smiles)[model.columns[0]]).all()


class Stumbles(Counts):
    def forward(self, smiles):
        if any("O" in text for text in smiles):
            raise KeyError("O")
        return super().forward(smiles)


@pytest.mark.parametrize(
    "what", [lambda smiles: 1 / 0, Stumbles(), lambda smiles: np.full((len(smiles), 2), np.nan)]
)
def test_others_are_ranked_beside_an_encoder_that_fails(what):
    molrate.register_encoder("bad", what)
    smiles = ["C" * n + end for n in range(1, 21) for end in ("O", "N")]
    ranking = molrate.score(smiles, [float(len(text)) for text in smiles], encoders=["bad", "ecfp4"])
    rows = ranking.frame.set_index("encoder")
    assert rows["status"].to_dict() == {"ecfp4": "ok", "bad": "failed"}
    assert rows.loc["ecfp4", "n"] == len(smiles)
    assert rows.loc["bad", "note"].startswith("bad ")
    assert not ranking.complete


def test_an_encoder_that_reads_too_few_molecules_does_not_take_them_from_others():
    molrate.register_encoder("few", lambda smiles: np.where(counts(smiles) < 4, counts(smiles), np.nan))
    smiles = ["C" * n + end for n in range(1, 31) for end in ("O", "N")]
    ranking = molrate.score(smiles, [float(len(text)) for text in smiles], encoders=["few", "ecfp4"])
    rows = ranking.frame.set_index("encoder")
    assert rows.loc["ecfp4", "n"] == len(smiles)
    assert (
        "few reads 6 of 60 molecules, fewer than 20; row 7: few gives no numbers" in rows.loc["few", "note"]
    )


def test_an_encoder_of_another_package_may_fail_in_any_way(monkeypatch, fresh_cache):
    encoder = load_encoder("ecfp4")
    foreign = type("Foreign", (type(encoder),), {"__module__": "somewhere_else"})(encoder.card)
    monkeypatch.setattr(foreign, "featurise", lambda molecules: {}["nothing"])
    molrate.register_encoder("counts", counts)
    smiles = ["C" * n + end for n in range(1, 21) for end in ("O", "N")]
    ranking = molrate.score(smiles, [float(len(text)) for text in smiles], encoders=[foreign, "counts"])
    assert ranking.frame.set_index("encoder").loc["ecfp4", "note"] == "ecfp4 failed: KeyError: 'nothing'"
    # What goes wrong in molrate itself is no encoder's failure.
    own = load_encoder("ecfp4")
    monkeypatch.setattr(own, "featurise", lambda molecules: {}["nothing"])
    with pytest.raises(KeyError, match="nothing"):
        molrate.score(smiles, [float(len(text)) for text in smiles], encoders=[own, "counts"])


def test_a_layer_with_the_name_of_a_column_about_rows_is_not_written_over_it(tmp_path):
    (tmp_path / "a.csv").write_text("id,smiles\na,CCO\nb,CN\n")
    encoder = molrate.register_encoder(
        "clash", lambda smiles: {"id": counts(smiles), "out": counts(smiles)}, layers=["id", "out"]
    )
    table = embed_table(tmp_path / "a.csv", encoder, layer="all")
    with pytest.raises(InputError, match="layer 'id' has the name of a column about rows"):
        table.write(tmp_path / "a.npz")


CHAINS = ["C" * n + end for n in range(1, 21) for end in ("O", "N")]


def rows_of_a_ranking(name, smiles=CHAINS):
    ranking = molrate.score(
        smiles, [float(len(text)) for text in smiles], encoders=[name, "ecfp4"], measures=["logme"]
    )
    return ranking.frame.set_index("encoder")


class Returns(torch.nn.Module):
    """What a function returns, as a module's output."""

    def __init__(self, function):
        super().__init__()
        self.function, self.linear = function, torch.nn.Linear(2, 2)

    def forward(self, smiles):
        return self.function(smiles)


@pytest.mark.parametrize("wrap", [lambda function: function, Returns])
@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda smiles: [["a", "b"] for _ in smiles], "layer output: returned a list that is no matrix"),
        (lambda smiles: [[1.0] * (1 + row % 2) for row, _ in enumerate(smiles)], "no matrix of numbers"),
        (lambda smiles: [[{}] for _ in smiles], "no matrix of numbers"),
        (lambda smiles: {"output": [["1"] for _ in smiles]}, "its values are of the type <U1"),
        (lambda smiles: counts(smiles) * 1j, "its values are of the type complex128"),
        (lambda smiles: torch.tensor(counts(smiles)) * 1j, "its values are of the type complex64"),
        (lambda smiles: (row for row in counts(smiles)), "returned a generator"),
        (lambda smiles: None, r"returned shape \(\) for"),
        (lambda smiles: np.empty((len(smiles), 0)), r"returned shape \(\d+, 0\)"),
    ],
)
def test_what_is_no_matrix_is_a_failed_row_beside_others(wrap, function, message):
    molrate.register_encoder("wrong", wrap(function))
    rows = rows_of_a_ranking("wrong")
    assert rows["status"].to_dict() == {"ecfp4": "ok", "wrong": "failed"}
    assert re.search(message, rows.loc["wrong", "note"])
    with pytest.raises(InputError, match=message):
        molrate.embed(["CC", "CCC"], "wrong")


@pytest.mark.parametrize("wrap", [lambda function: function, Returns])
@pytest.mark.parametrize(
    "change",
    [
        lambda found: found.float().requires_grad_(),
        lambda found: found.bfloat16(),
        lambda found: found.half().requires_grad_(),
        lambda found: found.to_sparse(),
        lambda found: [row.bfloat16() for row in found],
        lambda found: pd.DataFrame(found.numpy()),
        lambda found: {"output": csr_matrix(found.numpy())},
    ],
)
def test_tensors_with_gradients_of_half_precision_and_tables_are_read(wrap, change):
    molrate.register_encoder("kind", wrap(lambda smiles: change(torch.tensor(counts(smiles)))))
    np.testing.assert_array_equal(molrate.embed(["CCO", "CN"], "kind"), counts(["CCO", "CN"]))
    assert rows_of_a_ranking("kind").loc["kind", "status"] == "ok"


def test_a_masked_value_is_no_number():
    masked = np.ma.masked_greater
    molrate.register_encoder("masked", lambda smiles: masked(counts(smiles), 2))
    assert np.isnan(molrate.embed(["CCC", "CN"], "masked")[:, 0]).tolist() == [True, False]


def test_an_encoder_whose_width_changes_is_a_failed_row():
    molrate.register_encoder(
        "width", lambda smiles: np.ones((len(smiles), len(smiles))) * counts(smiles)[:, :1]
    )
    rows = rows_of_a_ranking("width", [text + "C" * 40 for text in CHAINS] * 5 + CHAINS)
    assert rows["status"].to_dict() == {"ecfp4": "ok", "width": "failed"}
    assert "columns of output for some molecules" in rows.loc["width", "note"]


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_a_module_of_half_precision_is_ranked_with_its_gradients_and_tuned(kind, tmp_path, caplog):
    class Half(Counts):
        def forward(self, smiles):
            return self.linear(torch.tensor(counts(smiles)).to(self.linear.weight))

    molrate.register_encoder("half", Half().to(kind))
    assert rows_of_a_ranking("half").loc["half", "status"] == "ok"
    molrate.score(CHAINS, [float(len(text)) for text in CHAINS], encoders=["half", "ecfp4"])
    assert "without gradients" not in caplog.text
    table = pd.DataFrame({"smiles": CHAINS, "y": [float(len(text)) for text in CHAINS]})
    molrate.finetune(table, "half", tmp_path / "model", target="y", n_epochs=1)
    assert len(molrate.load_model(tmp_path / "model").predict(CHAINS)) == len(CHAINS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda found: torch.from_numpy(found.numpy()), "back failed: RuntimeError"),
        (lambda found: found.detach().numpy(), "back: returned a ndarray, and only tensors have gradients"),
    ],
)
def test_a_module_that_cannot_be_tuned_is_ranked_without_gradients(change, message, tmp_path, caplog):
    class Back(Counts):
        def forward(self, smiles):
            return change(super().forward(smiles))

    molrate.register_encoder("back", Back())
    values = [float(len(text)) for text in CHAINS]
    ranking = molrate.score(CHAINS, values, encoders=["back", "ecfp4"])
    assert set(ranking.frame["status"]) == {"ok"}
    assert f"scored without gradients: {message}" in caplog.text
    with pytest.raises(InputError, match=message):
        molrate.finetune(
            pd.DataFrame({"smiles": CHAINS, "y": values}), "back", tmp_path / "m", target="y", n_epochs=1
        )


@pytest.mark.parametrize(
    "name",
    ["", " ", " counts", "two\nlines", "chemprop:x", "mine:x", "a/b c?d=1", "one,two", "-q", None, 3],
)
def test_names_that_could_not_be_asked_for_are_refused(name):
    with pytest.raises(UsageError, match="is no name of an encoder"):
        molrate.register_encoder(name, counts)
    assert name not in encoder_names()
    molrate.register_encoder("owner/model v1.0", counts)
    assert load_encoder("owner/model v1.0").name == "owner/model v1.0"


@pytest.mark.parametrize("layers", [(), "output", ("last", "other"), ("all",), ("",), (1,), 5])
def test_names_of_layers_that_could_not_be_asked_for_are_refused(layers):
    with pytest.raises(UsageError, match="layers: a sequence of names"):
        molrate.register_encoder("counts", counts, layers=layers)


@pytest.mark.parametrize("trained_on", ["CCO", None, ["no molecule"], [1, 2], b"CCO"])
def test_molecules_it_was_trained_on_are_smiles(trained_on):
    with pytest.raises(UsageError, match="counts: trained_on takes"):
        molrate.register_encoder("counts", counts, trained_on=trained_on)
    for given in (pd.Series(["CCO", "bad"]), np.array(["OCC"]), (text for text in ["CCO"])):
        encoder = molrate.register_encoder("counts", counts, trained_on=given)
        assert encoder.skeletons_seen() == {"LFQSCWFLJHTTHZ"}


class Package:
    """An entry point of another package."""

    value = "package:load"

    def __init__(self, name, load):
        self.name, self.load = name, load


def fails():
    raise ImportError("no module of that name")


@pytest.mark.parametrize(
    ("load", "message"),
    [(fails, "theirs failed: ImportError: no module"), (lambda: lambda **given: counts, "gives a function")],
)
def test_a_package_that_gives_no_encoder_is_a_failed_row(monkeypatch, load, message):
    monkeypatch.setattr(base, "plugins", lambda group: {"theirs": Package("theirs", load)})
    rows = rows_of_a_ranking("theirs")
    assert rows["status"].to_dict() == {"ecfp4": "ok", "theirs": "failed"}
    assert message in rows.loc["theirs", "note"]


def test_a_name_of_a_package_that_could_not_be_asked_for_is_refused(monkeypatch):
    monkeypatch.setattr(base, "plugins", lambda group: {"chemprop:x": Package("chemprop:x", fails)})
    with pytest.raises(UsageError, match="'chemprop:x' is no name of an encoder: ':' has a meaning"):
        load_encoder("chemprop:x")


def test_a_function_that_is_not_registered_is_no_encoder():
    with pytest.raises(
        UsageError, match=r"not a function; make it an encoder with molrate\.register_encoder"
    ):
        molrate.score(CHAINS, range(40), encoders=[counts, "ecfp4"])
