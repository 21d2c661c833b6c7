"""Archives from the data of others.

To add an importer:

1. Write a module here that finds the images of a source and writes them through
   `run.work_on_groups`; what the source does not say is NaN.
2. Add its command to lenssim/cli.py, with the options that the source leaves open.
3. Test it in tests/lenssim/build/importers on a tiny source of each layout.
"""
