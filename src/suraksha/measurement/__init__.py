"""Measure the lesions of a mask: components, contour, calipers and shape."""
