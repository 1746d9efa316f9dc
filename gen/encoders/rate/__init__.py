"""Inputs that fire as integrate-and-fire neurons do."""
