"""The program: the only room that prints."""
