"""Data sets: catalogue, layouts, audit, splits, cache, augmentation and loaders."""
