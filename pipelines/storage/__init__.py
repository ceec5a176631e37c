"""Atomic files, count tables, partial profiles, run directories and their copies on object stores."""
