"""Statistics of runs: pure functions on arrays; every estimate comes with its interval and its n."""
