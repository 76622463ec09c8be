"""ASGI middleware: access control, body limits and the access log."""
