"""Search strategies behind ask/tell; one file per strategy."""
