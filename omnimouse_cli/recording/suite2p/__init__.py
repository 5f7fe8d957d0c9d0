"""The output folders of suite2p, with tables and arrays beside them."""
