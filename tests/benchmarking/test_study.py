"""The study that ships is read without what training needs."""

import sys

import molrate


def test_evaluating_needs_no_lightning(monkeypatch):
    for name in [
        name for name in sys.modules if name.startswith(("molrate.benchmarking", "molrate.finetuning"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    # As where it is not installed: importing it fails.
    monkeypatch.setitem(sys.modules, "lightning", None)
    study = molrate.evaluate(datasets=["freesolv"])
    assert study.datasets()["dataset"].tolist() == ["freesolv"]
    assert "molrate.finetuning" not in sys.modules
