"""The dry run: Cairn's whole road from packages to running machines on one computer. Only AWS's API is mocked.

`scripts/dry-run` is the way in; deploy.md section 11 holds the plan that this follows. Standard library only, except
for the wrapper around moto, which runs in a virtual environment of its own.
"""
