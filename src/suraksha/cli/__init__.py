"""The command line: one table of commands, one module a verb. The only package that prints."""
