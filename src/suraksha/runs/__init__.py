"""Training configurations, recipes and run folders."""
