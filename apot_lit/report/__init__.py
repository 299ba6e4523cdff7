"""Tables, pictures and a page made from result files."""
