"""Read, prepare and draw pictures; synthetic ones too."""
