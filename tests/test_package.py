import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import molrate

HEAVY = ("torch", "rdkit", "deepchem", "pandas", "sklearn")


@pytest.mark.parametrize(
    "statement",
    ["import molrate", "import molrate.cli; molrate.cli.main()", "import molrate.measures"],
    ids=["import", "--help", "measures"],
)
def test_light_imports_stay_light(statement):
    code = (
        "import sys, json, atexit; sys.argv = ['molrate', '--help'];"
        f"loaded = lambda: [name for name in {HEAVY!r} if name in sys.modules];"
        "atexit.register(lambda: print(json.dumps(loaded()), file=sys.stderr));"
        f"{statement}"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(result.stderr) == []


def test_every_public_name_resolves():
    for name in molrate.__all__:
        assert getattr(molrate, name) is not None
    assert set(molrate.__all__) <= set(dir(molrate))


def test_unknown_attribute_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'rank'"):
        molrate.rank  # noqa: B018


def _runs_code(call):
    """Whether a call may run what a file holds."""
    name = call.func
    if isinstance(name, ast.Name):
        return name.id in ("eval", "exec", "compile", "__import__")
    if not (isinstance(name, ast.Attribute) and isinstance(name.value, ast.Name)):
        return False
    given = {keyword.arg: getattr(keyword.value, "value", None) for keyword in call.keywords}
    module = name.value.id
    if module in ("pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"):
        return name.attr in ("load", "loads", "open", "Unpickler")
    if module == "torch" and name.attr == "load":
        return given.get("weights_only") is not True
    if module in ("np", "numpy") and name.attr == "load":
        return given.get("allow_pickle") is not False
    return "trust_remote_code" in given or (module == "yaml" and name.attr == "load")


def test_nothing_runs_code_from_a_file():
    package = Path(molrate.__file__).parent
    calls = [
        (path.name, node.lineno)
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and _runs_code(node)
    ]
    assert calls == []
    for text in (
        "torch.load(p)",
        "pickle.loads(b)",
        "np.load(p)",
        "eval(t)",
        "torch.load(p, weights_only=False)",
    ):
        assert _runs_code(ast.parse(text).body[0].value)
