"""Train, trace, prune, group and test: the engine behind the CircuitScope app."""
