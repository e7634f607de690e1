"""Models that predict what a training would give."""
