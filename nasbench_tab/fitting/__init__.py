"""From logged runs to a surrogate, and how far it can be trusted."""
