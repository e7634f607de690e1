"""Other benchmarks' programming interfaces, answered from our files, for scripts that were written for them."""
