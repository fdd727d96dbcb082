"""Every code block of the documentation runs, or says why not and is checked against the program."""

import re
import shutil
from pathlib import Path

import click
import pandas as pd
import pytest
from blocks import ROOT, blocks_of, calls_of, check_call, check_python, run_call, without_numbers

import molrate

PAGES = sorted((ROOT / "docs").rglob("*.md"))
NAMES = [path.relative_to(ROOT / "docs").as_posix() for path in PAGES]
LANGUAGES = {"bash", "python", "text"}


def page(name):
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def code_blocks(name):
    return [block for block in blocks_of(page(name)) if block.language != "text"]


@pytest.fixture(scope="module")
def example(tmp_path_factory, session_cache):
    """What a page finds where its commands run: tables, libraries and a fitted model."""
    folder = tmp_path_factory.mktemp("example")
    esol = molrate.load_dataset("esol")
    table = pd.DataFrame({"id": esol.ids, "smiles": esol.smiles, "logP": esol.targets[0].values})
    table = table.sample(160, random_state=0)
    known = table[:80].assign(
        active=lambda rows: (rows["logP"] > rows["logP"].median()).map({True: "yes", False: "no"}),
        toxic=lambda rows: rows["smiles"].str.contains("Cl").map({True: "toxic", False: "non-toxic"}),
    )
    known.to_csv(folder / "my.csv", index=False)
    library = table[80:][["id", "smiles"]]
    library.to_csv(folder / "library.csv", index=False)
    library[["smiles", "id"]].to_csv(folder / "library.smi", sep="\t", index=False, header=False)
    library[["smiles", "id"]].to_csv(folder / "library.smi.gz", sep="\t", index=False, header=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOLRATE_CACHE", str(session_cache))
        # Of the models that molrate makes the quickest: ridge regression on fingerprints.
        library = folder / "library.csv"
        molrate.screen(library, output=folder / "hits", train=known, target="logP", encoder="ecfp4", jobs=1)
    (folder / "hits" / "model").rename(folder / "model")
    shutil.rmtree(folder / "hits")
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_blocks_have_a_language_and_a_reason(name):
    for block in blocks_of(page(name)):
        assert block.language in LANGUAGES, f"line {block.start}: ```{block.language}"
        assert not block.why or len(block.why.split()) >= 2, f"line {block.start}: not run: {block.why}"


@pytest.mark.parametrize("name", [name for name in NAMES if code_blocks(name)])
def test_blocks_name_what_there_is(name):
    for block in code_blocks(name):
        if block.language == "python":
            check_python(block.code)
        else:
            for call in calls_of(block.code):
                check_call(call)


@pytest.mark.parametrize("name", NAMES)
def test_commands_in_indented_blocks_name_what_there_is(name):
    text = re.sub(r"\\\n\s*", " ", page(name))
    for call in re.findall(r"^ {4,}(?:\w+=\S+ )*(molrate .*)$", text, re.MULTILINE):
        check_call(call)


@pytest.mark.parametrize("name", [n for n in NAMES if any(not block.why for block in code_blocks(n))])
def test_blocks_run(name, example, tmp_path, monkeypatch, capsys):
    if "molrate finetune" in page(name):
        pytest.importorskip("lightning", reason="NOT TESTED: training needs the extra train")
    folder = tmp_path / "page"
    if name == "tutorial.md":
        # It makes all that it needs.
        folder.mkdir()
    else:
        shutil.copytree(example, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MOLRATE_OFFLINE", "1")
    names = {"__name__": "page"}
    printed, ended = "", -1
    for block in blocks_of(page(name)):
        if block.language == "text":
            # Directly below a block of commands it is what they print.
            if block.start - ended <= 2 and printed:
                assert without_numbers(block.code) == without_numbers(printed), f"line {block.start}"
            continue
        printed, ended = "", block.end
        if block.why:
            continue
        if block.language == "python":
            exec(compile(block.code, f"{name}, line {block.start}", "exec"), names)
        else:
            printed = "".join(run_call(call, monkeypatch, capsys) for call in calls_of(block.code))


def test_the_readme_names_what_there_is():
    for block in blocks_of((ROOT / "README.md").read_text(encoding="utf-8")):
        if block.language == "python":
            check_python(block.code)
        else:
            for call in calls_of(block.code.replace("$ molrate", "molrate")):
                if call.startswith("molrate "):
                    check_call(call)


def test_what_is_found_and_what_is_refused():
    text = "a\n<!-- not run: takes hours of time -->\n```bash\nmolrate score x --measure knn # y\n```\n"
    (block,) = blocks_of(text + "```python\nmolrate.nothing\n```\n")[:1]
    assert (block.language, block.why) == ("bash", "takes hours of time")
    check_call(calls_of(block.code)[0])
    for wrong in (
        "molrate score x --mesure knn",
        "cat x | molrate scores -",
        "molrate score x --task classes",
    ):
        with pytest.raises((AssertionError, click.UsageError), match=r"(?i)no such|no command|not one of"):
            check_call(wrong)
    for wrong in ("import molrate\nmolrate.nothing()", "import molrate\nmolrate.score('x', targets='y')"):
        with pytest.raises(AssertionError):
            check_python(wrong)
    assert without_numbers("a 1.5 s") == without_numbers("a  22\n s") != without_numbers("b 1 s")


def test_pages_are_in_the_repository():
    assert {"index.md", "tutorial.md", "faq.md"} <= set(NAMES)
    assert all(Path(path).is_file() for path in PAGES)
