"""Files and options that configure the software, for both packages.

yaml_reading   YAML by the rules of YAML 1.2
key_values     KEY=VALUE options, and the nearest keys to one that does not exist
"""
