"""What the `mo` command line and its daemon share: words, rules, git and the `.mo/` directory."""

__version__ = "0.1.0"
