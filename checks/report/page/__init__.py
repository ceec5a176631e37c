"""The page as a whole: its model, its template, its first sentences, the terminal summary."""
