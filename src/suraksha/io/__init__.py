"""Read images, video frames and DICOM files."""
