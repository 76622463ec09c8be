"""DICOM objects for a result: SEG, SR, SC and RTSTRUCT."""
