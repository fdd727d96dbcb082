import json
import subprocess
import sys

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
