"""Files that are there whole or not at all, count tables, partial profiles, run directories, object stores."""
