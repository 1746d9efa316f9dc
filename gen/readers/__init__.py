"""How a layer reads the trains of a source: plan, RTL, timing and cost of each kind of reader."""
