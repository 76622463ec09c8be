"""Results as overlays, records, files and model cards."""
