"""The read-out: logits as they come, and the class of the greatest."""
