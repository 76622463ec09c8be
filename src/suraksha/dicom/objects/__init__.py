"""DICOM objects of a result: SEG, SR, SC and RTSTRUCT."""
