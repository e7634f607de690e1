"""Benchmarks: what answers "what accuracy would this architecture get?"."""
