"""What is counted of images."""
