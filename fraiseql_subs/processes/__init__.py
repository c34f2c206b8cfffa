"""Several processes that serve at one socket: they are started, watched, replaced and drained.

The supervisor runs no manager and imports no module of the user. It starts fresh interpreters with
its own command line, and passes them the listening socket. Not here: the command line (`commands`).
"""
