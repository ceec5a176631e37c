"""The demo of image corpora: two snapshots of pictures, with a mark on one class of one domain."""
