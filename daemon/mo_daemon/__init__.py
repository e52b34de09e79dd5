"""The engine: a process that watches `.mo/`, runs agents, gates and merges."""
