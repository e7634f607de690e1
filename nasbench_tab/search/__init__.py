"""Simulated search: the only loop, the only budget, the only clock."""
