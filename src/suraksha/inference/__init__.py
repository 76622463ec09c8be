"""Run a bundle: segmenter, engines, post-processing, calibration, out-of-distribution check."""
