import argparse

import pytest
import torch

from molrate.encoders.checkpoints import read_pickle
from molrate.errors import WeightsError


def test_what_was_refused_is_said_without_the_advice_to_allow_it(tmp_path):
    torch.save({"args": argparse.Namespace(a=1)}, tmp_path / "model.pt")
    with pytest.raises(WeightsError, match=r"nothing in it was run.*argparse\.Namespace") as caught:
        read_pickle(tmp_path / "model.pt")
    assert not {"safe_globals", "trust", "allowlist"} & set(str(caught.value).replace(".", " ").split())
    assert "add_safe_globals" not in str(caught.value)
