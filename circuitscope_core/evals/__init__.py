"""Measurements that say whether a graph is right and whether a model knows what it was taught."""
