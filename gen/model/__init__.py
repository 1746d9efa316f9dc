"""What is computed: populations, linear maps, functions and spike codes, without hardware."""
