"""Pretraining GROVER encoders; needs Lightning."""

from molrate.quiet_lightning import require_lightning

require_lightning()
