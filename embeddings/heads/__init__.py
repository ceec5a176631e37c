"""Scores of every attention head, on random repeats and by domain of the corpus; induction circuits; ablation."""
