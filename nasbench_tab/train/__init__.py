"""Real training: networks, data, the loop, run logs. The only part that imports torch."""
