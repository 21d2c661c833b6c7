"""Reporting: pages, plots and tables of what was measured.

page              self-contained HTML pages, from templates
style             the look of every plot
plots             the plots, by task
tables            numbers as text, and tables as HTML and Markdown
sentences         metrics as sentences
optional_plots    captions of plots, which a report can do without
score_tables      tables of scores, for a page and a card
run_plots         the plots of a run and the residuals in them
evaluated_run     a run as its pages read it
run_page          the page of a run, and testing it
comparison_page   the page of several runs
requests          what `report` is asked for, checked before torch is imported
measurements      results of the scripts in benchmarks/ and experiments/
"""
