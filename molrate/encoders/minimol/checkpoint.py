"""Names of the released checkpoint of MiniMol in those of molrate's network."""

from __future__ import annotations

import re

from torch import Tensor

_HEADS = "model.task_heads."
"""What predicts the labels of pretraining from the fingerprint, which is no part of the encoder."""

_EIGENVECTORS = r"model\.encoder_manager\.pe_encoders\.la_pos\."
_WALKS = r"model\.encoder_manager\.pe_encoders\.rw_pos\."
_CONVOLUTION = r"model\.gnn\.layers\.(\d+)\."
_VIRTUAL_NODE = r"model\.gnn\.virtual_node_layers\.(\d+)\."

_RENAMED = [
    (_EIGENVECTORS + r"linear_in\.linear\.", "eigenvectors.first."),
    (_EIGENVECTORS + r"pe_encoder\.fully_connected\.0\.linear\.", "eigenvectors.second."),
    (_EIGENVECTORS + r"pe_encoder\.fully_connected\.1\.linear\.", "eigenvectors.third."),
    (_EIGENVECTORS + r"post_mlp\.fully_connected\.0\.linear\.", "eigenvectors.last."),
    (_WALKS + r"pe_encoder\.first_normalization\.", "walks.norm."),
    (_WALKS + r"pe_encoder\.fully_connected\.0\.", "walks.first."),
    (_WALKS + r"pe_encoder\.fully_connected\.1\.", "walks.second."),
    (r"model\.pre_nn\.layers\.0\.", "atoms.first."),
    (r"model\.pre_nn\.layers\.1\.", "atoms.second."),
    (r"model\.pre_nn_edges\.layers\.0\.", "bonds.first."),
    (r"model\.pre_nn_edges\.layers\.1\.", "bonds.second."),
    (_CONVOLUTION + r"model\.eps", r"convolutions.\1.eps"),
    (_CONVOLUTION + r"model\.lin\.", r"convolutions.\1.bond."),
    (_CONVOLUTION + r"model\.nn\.fully_connected\.0\.", r"convolutions.\1.first."),
    (_CONVOLUTION + r"model\.nn\.fully_connected\.1\.linear\.", r"convolutions.\1.second."),
    (_CONVOLUTION + r"norm_layer\.", r"convolutions.\1.norm."),
    (_VIRTUAL_NODE + r"fc_layer\.", r"virtual_nodes.\1.update."),
    (_VIRTUAL_NODE + r"node_projection\.", r"virtual_nodes.\1.projection."),
]
_PATTERNS = [(re.compile(pattern), replacement) for pattern, replacement in _RENAMED]

_UNUSED = re.compile(_WALKS + r"first_normalization\.(weight|bias)$")
"""A normalisation that the released code holds and does not apply: it is as it was initialised."""


def rename(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Give the tensors of the released checkpoint molrate's names, without what embeddings do not need.

    Names that are not of the checkpoint are kept, so that a strict reading reports them.
    """
    return {
        _renamed(name): tensor
        for name, tensor in state.items()
        if not name.startswith(_HEADS) and not _UNUSED.match(name)
    }


def _renamed(name: str) -> str:
    for pattern, replacement in _PATTERNS:
        match = pattern.match(name)
        if match:
            return (match.expand(replacement) + name[match.end() :]).replace("normalization", "norm")
    return name
