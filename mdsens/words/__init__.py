"""Results and records in words: tables and sentences, for the terminal and for pages. Plain texts."""
