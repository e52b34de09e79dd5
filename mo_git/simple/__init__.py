"""Simple mode: many independent items, each done in a worktree of its own."""
