"""``python -m molrate``."""

from molrate.cli import main

main()
