"""Files and options that configure the software, for both packages.

yaml_reading   YAML by the rules of YAML 1.2
key_values     KEY=VALUE options, nearest keys, and differences of nested mappings
setting_table  tables of the keys of a schema, for --help and the docs
"""
