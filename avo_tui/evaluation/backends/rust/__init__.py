"""Rust, through the runner of C++."""
