"""Reporting: pages, plots and tables of what was measured.

page              self-contained HTML pages, from templates
style             the look of every plot
plots             the plots, by task
formatting        numbers as text
tables            tables, as HTML and as Markdown
sentences         metrics as sentences
captions          headings and captions of a run's plots
residuals         images less their smooth lens
embedding_map     embeddings in two dimensions
optional_plots    plots that a report can do without
run_plots         the plots of a run
evaluated_run     a run as its pages read it
run_page          the page of a run
comparison_page   the page of several runs
requests          what `report` is asked for, checked before torch is imported
evaluate          testing a run, with all of these
measurements      results of the scripts in benchmarks/ and experiments/
"""
