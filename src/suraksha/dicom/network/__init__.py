"""DICOM and DICOMweb services: storage SCP and SCU, queue and worker."""
