"""Tables whose names are markup."""

import csv

from molrate.data.datasets import load_dataset

SCRIPT = "<script>document.title = 'taken'</script>"
COLUMN = "y </script><img src=x onerror=\"document.title = 'taken'\"> [0].z"
CLASSES = ("<b>no</b>", "<i onmouseover=alert(1)>yes</i>")
N = 90


def write_table(path, classes=False):
    """The first molecules of a dataset, with an invalid one, one twice, and a name that is a script."""
    dataset = load_dataset("freesolv")
    values = dataset.targets[0].values
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "smiles", COLUMN])
        for row in range(N):
            value = CLASSES[int(values[row] > -4)] if classes else values[row]
            writer.writerow([f"{SCRIPT}{row}" if row < 40 else f"molecule-{row}", dataset.smiles[row], value])
        writer.writerow(["broken-one", "C1CC(notclosed", values[0] if not classes else CLASSES[0]])
        writer.writerow(["same-again", dataset.smiles[5], values[7] if not classes else CLASSES[0]])
    return path
