"""Data sets: catalogue, layouts, audit, splits, cache and loaders. Only the loaders and the augmentation need torch."""
