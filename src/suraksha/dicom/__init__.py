"""DICOM: objects of results, network services and de-identification."""
