"""How the input becomes trains: plan, RTL and cost of each kind of encoder."""
