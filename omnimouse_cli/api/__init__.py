"""The functions of `import omnimouse_cli`: what the commands do, with NumPy arrays in and out."""
