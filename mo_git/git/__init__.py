"""The git edge: everything mo reads from and writes to a repository goes through here."""
