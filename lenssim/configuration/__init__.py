"""Files and options that configure the software, for both packages.

yaml_reading   YAML by the rules of YAML 1.2
key_values     KEY=VALUE options, and the nearest keys to one that does not exist
differences    where two nested mappings differ, and one put over another
setting_table  tables of the keys of a schema, for --help and the docs
"""
