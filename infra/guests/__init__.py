"""Guests: the builders of `tiny`, `debian-12` and `debian-13`, and the agent that reports a running server to its host.

`build.py` is the way in. The shell scripts beside it make a disk out of distribution packages; what the guests
themselves run lies in `tiny/`, `debian/` and `agent/`. Nothing here needs a mount, a loop device or a running guest.
"""
