"""The demo of investigations: a small language model that is trained on a bad shard and on a faulty machine."""
