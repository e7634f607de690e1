"""Search spaces: what an architecture is. They know nothing of data or of any training library."""
