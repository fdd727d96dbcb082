"""The ``molrate`` command line: parse, call one library function, print."""

from molrate.cli.main import main

__all__ = ["main"]
