"""Where many pieces of work are done: here, or on a cluster."""
