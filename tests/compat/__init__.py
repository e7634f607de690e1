"""Other benchmarks' interfaces on our files."""
