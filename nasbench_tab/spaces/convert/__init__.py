"""Cells as other tools write them, and back: one file for each space, pure functions only."""
