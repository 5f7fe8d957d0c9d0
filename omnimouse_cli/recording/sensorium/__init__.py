"""Reader of the Sensorium competition's data sets: folders and zip archives of `.npy` files."""
