"""The plain layout: responses as one array, with tables and arrays beside it."""
