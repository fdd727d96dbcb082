"""Transferability measures: pure NumPy functions that know nothing of molecules or torch."""

from molrate.measures.base import MEASURES, Measure, Score
from molrate.measures.transrate import coding_rate, transrate

__all__ = ["MEASURES", "Measure", "Score", "coding_rate", "transrate"]
