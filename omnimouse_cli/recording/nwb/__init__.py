"""Reader of NWB files, versions 1 and 2, in HDF5 or Zarr."""
