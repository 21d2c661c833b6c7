"""Scores, their intervals, and which differences are significant.

auc                areas under ROC curves, and when they are undefined
bootstrap          intervals over test images
paired             means over trainings, and differences of two kinds of trainings
multiple_testing   which differences of a table are significant: the one rule
"""
