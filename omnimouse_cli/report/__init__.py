"""Files of finished runs in, tables, fitted scaling laws, a verdict, figures and a page out."""
