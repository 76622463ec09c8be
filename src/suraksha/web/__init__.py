"""The HTTP server: a web page and an HTTP API for one bundle."""
