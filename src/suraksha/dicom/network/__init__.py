"""DICOM and DICOMweb services: storage SCP, SCU, polling, queue and worker."""
