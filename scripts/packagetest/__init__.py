"""The life of the Debian packages in a clean booted machine: `scripts/test-packages` is the way in.

The machine, its image and the report are the dry run's (`dryrun`). Standard library only.
"""
