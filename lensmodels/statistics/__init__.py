"""How far a score would scatter, and whether a difference is significant.

bootstrap          intervals over test images
paired             means over trainings, and differences of two kinds of trainings
multiple_testing   which differences of a table are significant: the one rule
"""
