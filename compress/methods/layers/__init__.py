"""Layers that models have while they are trained with a method."""
