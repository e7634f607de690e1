"""Train a comparison's winners for real, and say how far the benchmark was off."""
