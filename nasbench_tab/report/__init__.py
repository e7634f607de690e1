"""The report of a comparison: one page that explains itself, figures, and a table for a paper."""
