"""Recipes that turn a published source into a table; one file per source format."""
