"""Executors: they run the jobs of a plan in this process or on a cluster."""
