"""DICOM objects of results, and the node that takes pictures in and sends results on."""
