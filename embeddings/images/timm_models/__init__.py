"""Models of timm from local files: the module, how images become its input, and the digest of its weights."""
