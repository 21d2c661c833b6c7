"""Pages, tables and plots of what was measured.

style, plots, embedding_map, figures   plots
page           self-contained HTML pages
wording        measurements in words
report         report.html of a run, or of several
requests       what the command is asked for, checked before torch is imported
evaluate       testing a run, and everything that is written about it
tables         Markdown tables
measurements   what the scripts in benchmarks/ and experiments/ write
"""
