"""The dry run: Cairn's whole road from packages to running machines on one computer. Only AWS's API is mocked.

`scripts/dry-run` is the way in, README.md the map. Standard library only, except
for the wrapper around moto, which runs in a virtual environment of its own.
"""
