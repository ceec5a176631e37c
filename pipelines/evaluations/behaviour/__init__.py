"""How models behave beyond their scores: what agents spend, where their paths part, refusals, harm, repeated passes."""
