"""Simple mode at work: the items of a job done, checked and landed."""
