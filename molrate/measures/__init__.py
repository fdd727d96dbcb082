"""Transferability measures: pure NumPy functions that do not depend on molecules or torch."""

from molrate.measures.base import MEASURES, Measure, one_pass_values
from molrate.measures.bhattacharyya import gbc
from molrate.measures.correlation import cka, lfc
from molrate.measures.dissimilarity import parc, rsa
from molrate.measures.domain_similarity import domain_similarity
from molrate.measures.fisher import sfda
from molrate.measures.hscore import h_score
from molrate.measures.leave_one_out import LeftOut, leave_one_out, loo
from molrate.measures.leep import leep, n_leep, nce
from molrate.measures.logme import logme
from molrate.measures.neighbours import knn
from molrate.measures.rogi import rogi_xd
from molrate.measures.sample import Sample, make_sample
from molrate.measures.tangent import lgc, tangent
from molrate.measures.transrate import coding_rate, transrate, transrate_icml, transrate_spectral

__all__ = [
    "MEASURES",
    "LeftOut",
    "Measure",
    "Sample",
    "cka",
    "coding_rate",
    "domain_similarity",
    "gbc",
    "h_score",
    "knn",
    "leave_one_out",
    "leep",
    "lfc",
    "lgc",
    "logme",
    "loo",
    "make_sample",
    "n_leep",
    "nce",
    "one_pass_values",
    "parc",
    "rogi_xd",
    "rsa",
    "sfda",
    "tangent",
    "transrate",
    "transrate_icml",
    "transrate_spectral",
]
