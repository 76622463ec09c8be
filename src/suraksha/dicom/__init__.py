"""DICOM objects of results, and the node that takes images in and sends results on."""
