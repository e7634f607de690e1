"""Optimizers of other libraries as strategies: thin, one file each, imported when they are asked for."""
