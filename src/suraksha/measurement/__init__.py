"""Measure the lesions of a mask."""
