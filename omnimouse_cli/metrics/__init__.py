"""How good a prediction is: pure functions of NumPy arrays, exact over windows and ranks."""
