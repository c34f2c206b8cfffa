"""Writes Python code for a schema: types, publishers, and what documents send and receive.

Not here: the command line (`codegen`).
"""
