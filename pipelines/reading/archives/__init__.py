"""Images in archives and folders: tar members, samples joined by key, and the metadata beside images."""
