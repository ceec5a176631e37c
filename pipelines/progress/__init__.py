"""How far a run has come, the board that workers write, and where its time went."""
