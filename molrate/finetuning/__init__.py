"""Fine-tuning an encoder with a head; needs Lightning."""

from molrate.quiet_lightning import require_lightning

require_lightning()
