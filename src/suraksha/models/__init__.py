"""The zoo of networks and what they are built from."""
