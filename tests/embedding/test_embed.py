import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save_file

import molrate
from molrate.data.molecules import standardise
from molrate.embedding.cache import layer_path
from molrate.embedding.embed import BATCH_ATOMS, embed_molecules, split_rows
from molrate.encoders.base import load_encoder
from molrate.encoders.baselines import ECFPEncoder
from molrate.encoders.cards import encoder_cards
from molrate.errors import InputError, UsageError

SMILES = ["CCO", "not a molecule", "c1ccccc1", "N->[Fe]", "[Na+].CC(=O)[O-]"]


def test_rows_stay_in_place_and_failures_are_nan_never_zero():
    vectors = molrate.embed(SMILES, "gin-untrained")
    assert vectors.shape == (5, 300)
    assert vectors.dtype == np.float32
    assert np.isnan(vectors).all(axis=1).tolist() == [False, True, False, True, False]
    assert not (vectors == 0).all(axis=1).any()


@pytest.mark.parametrize("encoder", ["gin-untrained", "gat-untrained", "ecfp4", "rdkit-descriptors"])
def test_company_and_batches_change_nothing(encoder, monkeypatch, fresh_cache):
    smiles = molrate.load_dataset("esol").smiles[:120].tolist()
    together = molrate.embed(smiles, encoder)
    alone = np.concatenate([molrate.embed([text], encoder) for text in smiles[:20]])
    np.testing.assert_allclose(together[:20], alone, rtol=1e-5, atol=1e-6)
    monkeypatch.setattr("molrate.embedding.embed.BATCH_ATOMS", {"cpu": 50})
    monkeypatch.setenv("MOLRATE_CACHE", str(fresh_cache / "other"))
    np.testing.assert_allclose(molrate.embed(smiles, encoder), together, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("encoder", ["gin-untrained", "grover-small-chembl", "grover-small-untrained"])
def test_threads_change_nothing(encoder, monkeypatch):
    molecules = standardise(molrate.load_dataset("esol").smiles[:120].tolist())
    monkeypatch.setattr("molrate.embedding.embed.BATCH_ATOMS", {"cpu": 100})

    def rows(n_threads):
        monkeypatch.setattr("torch.get_num_threads", lambda: n_threads)
        loaded = load_encoder(encoder)
        (embedding,) = embed_molecules(molecules, [(loaded, loaded.layers[-1:])], device="cpu", cache=False)
        return embedding.layers[loaded.layers[-1]]

    before = torch.get_num_threads()
    np.testing.assert_array_equal(rows(1), rows(4))
    torch.set_num_threads(before)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_batches_are_of_about_one_size_and_enough_for_several_cores(device):
    molecules = standardise(molrate.load_dataset("freesolv").smiles.tolist())
    rows = np.flatnonzero(molecules.valid)
    batches = split_rows(molecules, rows, device)
    assert np.concatenate(batches).tolist() == list(range(len(rows)))
    sizes = [sum(len(molecules.canonical[rows[place]]) for place in places) for places in batches]
    if device == "cuda":
        assert len(sizes) == 1
        return
    assert len(sizes) % 4 == 0
    assert max(sizes) < 1.1 * min(sizes)
    assert max(sizes) <= BATCH_ATOMS["cpu"]


def test_of_no_rows_there_is_no_batch():
    molecules = standardise(["CCO"])
    assert split_rows(molecules, np.array([], dtype=np.intp), "cpu") == []
    (only,) = split_rows(molecules, np.array([0]), "cpu")
    assert only.tolist() == [0]


def test_progress_counts_every_valid_molecule_once(monkeypatch):
    monkeypatch.setattr("molrate.embedding.embed.BATCH_ATOMS", {"cpu": 50})
    molecules = standardise([*molrate.load_dataset("esol").smiles[:60], "not a molecule"])
    encoder, seen = load_encoder("gcn-untrained"), []
    embed_molecules(molecules, [(encoder, ["layer-5"])], cache=False, progress=seen.append)
    assert len(seen) > 3
    assert sum(seen) == 60


def test_poolings_by_hand():
    encoder = load_encoder("gcn-untrained")
    molecules = standardise(["CCO", "C"])
    from molrate.data.molecules import parse_canonical

    nodes = encoder.forward(encoder.featurise([parse_canonical("CCO")]).content)["layer-5"].numpy()
    for pooling, expected in {"mean": nodes.mean(0), "sum": nodes.sum(0), "max": nodes.max(0)}.items():
        (embedding,) = embed_molecules(molecules, [(encoder, ["layer-5"])], pooling, cache=False)
        np.testing.assert_allclose(embedding.layers["layer-5"][0], expected, rtol=1e-5, atol=1e-6)


def test_equal_molecules_get_equal_embeddings_however_written():
    first, second = molrate.embed(["C[C@H](N)C(=O)O", "[C@H](C)(C(O)=O)N"], "gin-untrained")
    np.testing.assert_array_equal(first, second)


@pytest.fixture
def counted(monkeypatch):
    calls = []
    forward = ECFPEncoder.forward
    monkeypatch.setattr(
        ECFPEncoder, "forward", lambda self, *arguments: calls.append(1) or forward(self, *arguments)
    )
    return calls


def test_a_second_run_computes_nothing_and_gives_the_same(counted, fresh_cache):
    first = molrate.embed(SMILES[:3], "ecfp4")
    second = molrate.embed(SMILES[:3], "ecfp4")
    assert len(counted) == 1
    np.testing.assert_array_equal(first, second)


def test_every_ingredient_of_the_numbers_is_in_the_key(counted, fresh_cache, monkeypatch):
    def run(smiles=("CCO",), standardisation="largest-fragment"):
        molrate.embed(list(smiles), "ecfp4", standardisation=standardisation)
        return len(counted)

    assert run() == 1
    assert run(("CCN",)) == 2
    assert run(standardisation="none") == 3
    monkeypatch.setattr("molrate.embedding.cache.version", lambda name: "another RDKit")
    assert run() == 4
    monkeypatch.setattr(ECFPEncoder, "identity", lambda self: {"weights": "others"})
    assert run() == 5
    monkeypatch.setattr("molrate.embedding.cache.STANDARDISATION", "another standardisation")
    assert run() == 6
    assert run() == 6


def test_of_a_network_pooling_code_device_and_torch_are_in_the_key(monkeypatch):
    molecules = standardise(["CCO"])

    def path(name, device="cpu"):
        encoder = load_encoder(name)
        return layer_path(encoder, encoder.layers[-1], "mean", molecules, device).name

    assert path("gcn-untrained") != path("gcn-untrained", "mps")
    assert path("ecfp4") == path("ecfp4", "mps")
    before = path("gcn-untrained")
    with monkeypatch.context() as patched:
        patched.setattr("molrate.embedding.cache.POOLING", "pooling/2")
        assert path("gcn-untrained") != before
    with monkeypatch.context() as patched:
        patched.setattr("molrate.embedding.cache.version", lambda name: f"another {name == 'torch'}")
        assert path("gcn-untrained") != before
    assert path("gcn-untrained") == before


@pytest.mark.parametrize(
    "card", [name for name, card in encoder_cards().items() if card.kind != "pretrained"]
)
def test_every_family_has_a_version_of_its_featurisation(card):
    name, _, number = load_encoder(card).featurisation.rpartition("/")
    assert name
    assert number.isdigit()


@pytest.mark.parametrize("stored_first", [False, True])
def test_of_an_encoder_that_fails_in_a_later_batch_nothing_is_kept(stored_first, monkeypatch, fresh_cache):
    monkeypatch.setattr("molrate.embedding.embed.BATCH_ATOMS", {"cpu": 50})
    molecules = standardise(molrate.load_dataset("esol").smiles[:60].tolist())
    encoder, control = load_encoder("gcn-untrained"), load_encoder("ecfp4")
    if stored_first:
        embed_molecules(molecules, [(encoder, ["layer-1"])], device="cpu")
    before = sorted(fresh_cache.rglob("*.*"))
    embed, batches = type(encoder).embed, []

    def failing(self, *arguments):
        batches.append(1)
        if len(batches) > 3:
            raise InputError("the device is gone")
        return embed(self, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(type(encoder), "embed", failing)
        requests = [(encoder, ["layer-1", "layer-5"]), (control, ["bits"])]
        failed, sound = embed_molecules(molecules, requests, device="cpu")
    assert str(failed.failure) == "the device is gone"
    assert failed.layers == {}
    assert np.isfinite(sound.layers["bits"]).all()
    assert [path.name.split("-")[0] for path in set(fresh_cache.rglob("*.*")) - set(before)] == ["ecfp4"]
    (again,) = embed_molecules(molecules, [(encoder, ["layer-1", "layer-5"])], device="cpu")
    assert again.device == "cpu"
    assert np.isfinite(again.layers["layer-5"]).all()


def test_an_absent_device_is_refused_also_where_all_is_cached(fresh_cache):
    for name in ("gin-untrained", "ecfp4"):
        molrate.embed(["CCO"], name)
        with pytest.raises(UsageError, match="cuda:77"):
            molrate.embed(["CCO"], name, device="cuda:77")


def test_layers_poolings_and_seeds_are_kept_apart(fresh_cache):
    files = fresh_cache / "embeddings"
    for count, arguments in enumerate(({}, {"layer": "layer-2"}, {"pooling": "sum"}, {"seed": 1}), 1):
        molrate.embed(["CCO"], "gin-untrained", **arguments)
        assert len(list(files.iterdir())) == count


def _altered(path, alter):
    """Another file in place of one of the cache: as it was written, or with its content changed."""
    with safe_open(path, framework="np") as stored:
        vectors, metadata = stored.get_tensor("embedding"), stored.metadata()
    vectors, metadata = alter(vectors, metadata)
    save_file({"embedding": np.ascontiguousarray(vectors)}, path, metadata=metadata)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:40]),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\x01"),
        lambda path: _altered(path, lambda vectors, metadata: (vectors[:1], metadata)),
        lambda path: _altered(path, lambda vectors, metadata: (vectors[::-1], metadata)),
        lambda path: _altered(path, lambda vectors, metadata: (vectors.astype(np.float64), metadata)),
        lambda path: _altered(path, lambda vectors, metadata: (vectors, {})),
        lambda path: _altered(path, lambda vectors, metadata: (vectors, metadata | {"errors": "{}"})),
    ],
)
def test_a_damaged_cache_file_is_computed_again(damage, fresh_cache, caplog):
    smiles = ["CCO", "CCN", "N->[Fe]"]
    expected = molrate.embed(smiles, "gcn-untrained")
    (path,) = (fresh_cache / "embeddings").iterdir()
    damage(path)
    np.testing.assert_array_equal(molrate.embed(smiles, "gcn-untrained"), expected)
    assert "is damaged" in caplog.text
    caplog.clear()
    (found,) = embed_molecules(standardise(smiles), [(load_encoder("gcn-untrained"), ["layer-5"])])
    assert found.device == "cache"
    assert list(found.errors) == [2]
    assert not caplog.text


def test_a_cache_that_cannot_be_written_costs_time_only(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MOLRATE_CACHE", str(tmp_path / "file"))
    assert molrate.embed(["CCO"], "ecfp4").shape == (1, 2048)
    assert "going on without it" in caplog.text


def test_a_cache_file_can_be_read_by_whoever_may_read_other_files(fresh_cache):
    molrate.embed(["CCO"], "ecfp4")
    (path,) = (fresh_cache / "embeddings").iterdir()
    (fresh_cache / "other").touch()
    assert path.stat().st_mode == (fresh_cache / "other").stat().st_mode


def test_a_full_disk_costs_time_only(monkeypatch, fresh_cache, caplog):
    from safetensors import SafetensorError

    def full(tensors, path, metadata):
        path.write_bytes(b"part")
        raise SafetensorError("No space left on device")

    monkeypatch.setattr("safetensors.numpy.save_file", full)
    assert molrate.embed(["CCO"], "ecfp4").shape == (1, 2048)
    assert "No space left" in caplog.text
    assert list((fresh_cache / "embeddings").iterdir()) == []


@pytest.mark.parametrize("limit", [1, 3])
def test_batches_are_halved_where_memory_is_too_small(monkeypatch, caplog, limit):
    smiles = ["CCO", "c1ccccc1", "bad(", "C*C", "CC(=O)O", "CCN", "CCCC", "O"]
    expected = molrate.embed(smiles, "gcn-untrained")
    encoder = load_encoder("gcn-untrained")
    whole = encoder.embed

    def embed(content, layers, pooling, device="cpu"):
        if content.num_graphs > limit:
            raise torch.OutOfMemoryError("too many")
        return whole(content, layers, pooling, device)

    monkeypatch.setattr(encoder, "embed", embed)
    requests = [(encoder, encoder.layers[-1:])]
    (found,) = embed_molecules(standardise(smiles), requests, device="cpu", cache=False)
    np.testing.assert_allclose(found.layers[encoder.layers[-1]], expected, rtol=1e-6)
    assert "cpu is out of memory at 6 molecules; going on with halves" in caplog.text
    monkeypatch.setattr(encoder, "embed", lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError("none")))
    (found,) = embed_molecules(standardise(["CCO"]), requests, device="cpu", cache=False)
    assert "3 atoms do not fit into the memory of cpu" in str(found.failure)


def test_errors():
    with pytest.raises(UsageError, match="put the one SMILES into a list"):
        molrate.embed("CCO", "ecfp4")
    with pytest.raises(InputError, match="row 1 'x': SMILES syntax error"):
        molrate.embed(["x"], "ecfp4")
    with pytest.raises(UsageError, match="unknown pooling"):
        molrate.embed(["C"], "ecfp4", pooling="median")
    with pytest.raises(UsageError, match="cuda:77"):
        molrate.embed(["C"], "gin-untrained", device="cuda:77")
    with pytest.raises(UsageError, match="one layer"):
        molrate.embed(["C"], "gin-untrained", layer="all")


def test_a_molecule_of_a_thousand_atoms():
    assert np.isfinite(molrate.embed(["C" * 1000], "gat-untrained")).all()
