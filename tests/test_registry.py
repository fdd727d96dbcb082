"""Extending molrate from another package: a real distribution with entry points, installed in a folder."""

import subprocess
import sys
import textwrap

import pytest

from molrate.errors import UsageError
from molrate.registry import Registry

PLUGIN = '''
import numpy as np

from molrate.encoders.base import Encoder
from molrate.encoders.batch import MoleculeBatch
from molrate.measures.base import FeaturesMeasure
from molrate.encoders.checkpoints import EncoderCard


class Counter(Encoder):
    card = EncoderCard("atom-count", "Counts", "Counts of atoms and bonds.", "plugin", "pretrained")
    layers = ("counts",)
    level = "molecule"
    featurisation = "atom-count"

    def identity(self):
        return {"weights": "none"}

    def featurise(self, molecules):
        return MoleculeBatch(list(molecules), list(range(len(molecules))), {})

    def forward(self, content, device="cpu"):
        counts = [[molecule.GetNumAtoms(), molecule.GetNumBonds(), 1] for molecule in content]
        return {"counts": np.array(counts, dtype=np.float32)}


def load(weights=None, seed=0):
    return Counter()


class Constant(FeaturesMeasure):
    """A measure that has no opinion."""

    name = "constant"
    title = "Constant"
    reference = "none"
    about = "Always nothing."

    def value(self, features, labels):
        return 0.0
'''


@pytest.fixture
def plugin(tmp_path):
    (tmp_path / "atomcount.py").write_text(PLUGIN)
    metadata = tmp_path / "atomcount-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: atomcount\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[molrate.encoders]\natom-count = atomcount:load\n[molrate.measures]\nconstant = atomcount:Constant\n"
    )
    return tmp_path


def test_encoders_and_measures_of_another_package_join_the_tool(plugin):
    code = f"""
        import sys
        sys.path.insert(0, {str(plugin)!r})
        import molrate
        from molrate.encoders.base import encoder_names
        from molrate.measures import MEASURES
        assert "atom-count" in encoder_names()
        assert "constant" in MEASURES and MEASURES["constant"].name == "constant"
        frame = molrate.score("freesolv", encoders=["atom-count", "ecfp4"]).frame
        print(frame["encoder"].tolist(), frame["status"].tolist())
        frame = molrate.score("freesolv", encoders=["atom-count", "ecfp4"], measures=["constant"]).frame
        print(frame["value"].tolist(), frame["tier"].tolist())
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [
        "['ecfp4', 'atom-count'] ['ok', 'ok']",
        "[0.0, 0.0] [1, 1]",
    ]


def test_unknown_names_are_refused_with_the_known_ones():
    registry = Registry("measure", "molrate.nothing", {"a": "molrate.errors:UsageError"})
    assert registry["a"] is UsageError
    assert list(registry) == ["a"]
    with pytest.raises(UsageError, match="unknown measure 'b'; known: a"):
        registry["b"]
