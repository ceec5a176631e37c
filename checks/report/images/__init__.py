"""The section on images of an image corpus."""
