"""The ledger: facts about work in SQLite.  `Ledger` writes (one writer), `Reader` only reads."""
