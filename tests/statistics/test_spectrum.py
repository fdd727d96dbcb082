"""Spectra against NumPy's eigenvectors of the whole matrix."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from molrate.statistics.moments import Moments, RowBlock
from molrate.statistics.spectrum import Spectrum, Tridiagonal


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(1, 40), st.integers(1, 40))
def test_equals_the_eigenvectors_of_the_whole_matrix(seed, n, d, rank):
    generator = np.random.default_rng(seed)
    rows = generator.normal(size=(n, min(n, d, rank))) @ generator.normal(size=(min(n, d, rank), d))
    # What lies at the rounding of the largest value counts or not, and has no digits.
    singular = np.linalg.svd(rows, compute_uv=False)
    assume(singular[min(n, d, rank) - 1] > 1e-4 * singular[0])
    matrix, size = rows.T @ rows, max(n, d)
    expected, vectors = np.linalg.eigh(matrix)
    columns = generator.normal(size=(d, 3))
    for spectrum in (Spectrum(matrix, size), Spectrum(rows @ rows.T, size, rows)):
        k = len(spectrum.values)
        assert k == min(n, d, rank)
        scale = expected[-1]
        np.testing.assert_allclose(spectrum.values, expected[::-1][:k], rtol=0, atol=1e-12 * scale)
        basis = spectrum.leading(k)
        np.testing.assert_allclose((basis * spectrum.values) @ basis.T, matrix, rtol=0, atol=1e-12 * scale)
        np.testing.assert_allclose(spectrum.along(columns), basis.T @ columns, atol=1e-6)
        # Signs are anybody's, and so are the vectors of equal eigenvalues: what counts is their plane.
        whole = vectors[:, ::-1][:, :k] @ (vectors[:, ::-1][:, :k].T @ columns)
        np.testing.assert_allclose(basis @ spectrum.along(columns), whole, atol=1e-5)


def test_equal_eigenvalues_and_decoupled_parts():
    spectrum = Spectrum(np.diag([2.0, 2.0, 2.0, 0.0, 5.0]), 5)
    np.testing.assert_allclose(spectrum.values, [5, 2, 2, 2])
    basis = spectrum.leading(4)
    np.testing.assert_allclose(basis.T @ basis, np.eye(4), atol=1e-14)


def test_reflections_undo_each_other():
    generator = np.random.default_rng(0)
    rows, columns = generator.normal(size=(30, 12)), generator.normal(size=(12, 4))
    reduced = Tridiagonal.of(rows.T @ rows)
    np.testing.assert_allclose(reduced.reflect(reduced.reflect(columns), back=True), columns, atol=1e-13)
    dense = np.diag(reduced.diagonal) + np.diag(reduced.off_diagonal, 1) + np.diag(reduced.off_diagonal, -1)
    np.testing.assert_allclose(
        reduced.reflect(rows.T @ rows @ reduced.reflect(np.eye(12), back=True)), dense, atol=1e-12
    )


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_the_kernel_without_a_block_is_that_of_the_rows_left(offset):
    generator = np.random.default_rng(1)
    parts, rows = {}, {}
    for block in range(4):
        rows[block] = generator.normal(size=(3 + block, 40)) + offset
        part = RowBlock(40)
        part.add(rows[block])
        parts[block] = [part]
    whole = Moments(parts, 40)
    for deleted in range(4):
        left = np.concatenate([rows[block] for block in range(4) if block != deleted])
        centred = left - left.mean(axis=0)
        without = whole.without(deleted)
        np.testing.assert_allclose(without.centred_kernel, centred @ centred.T, rtol=0, atol=1e-9)
        np.testing.assert_allclose(
            without.spectrum.values, np.linalg.svd(centred)[1][: len(left) - 1] ** 2, rtol=1e-10
        )
