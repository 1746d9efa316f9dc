"""What the judge expects of every observed place, cycle by cycle."""
