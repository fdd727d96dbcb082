"""An encoder and a measure for molrate, as a template."""
