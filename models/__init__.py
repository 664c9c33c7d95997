"""The detector's checkpoint, and the programs that train, measure, export and illustrate it.

Each module here is a command, but for ``dataset``, which reads the folders they work on; what the
commands are made of lies in the folders.
"""
