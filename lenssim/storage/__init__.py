"""Files anywhere: a local folder or any URL that fsspec speaks. Nothing here is about lenses.

location        reading and writing by relative path
locking         one writer at a time
stores          Zarr stores that repeat requests and check the length of ranges
server_errors   what went wrong on a server, in a sentence
atomic          writing a file whole
output_paths    whether an output path may be written
npy             NumPy files, without unpickling
"""
