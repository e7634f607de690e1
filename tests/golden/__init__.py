"""The first evaluations of every shipped strategy, kept as text."""
