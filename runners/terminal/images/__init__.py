"""What commands print of image models."""
