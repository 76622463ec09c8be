"""Data sets: found, checked, split and packed for training. Needs no torch but the loaders."""
