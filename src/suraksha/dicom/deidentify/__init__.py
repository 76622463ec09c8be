"""De-identification of ultrasound DICOM files."""
