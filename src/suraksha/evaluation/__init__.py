"""Score runs and bundles, fit post-processing and calibration, export bundles."""
