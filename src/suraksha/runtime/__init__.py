"""Bundles, engines and the segmenter: all that the clinic needs, without torch."""
