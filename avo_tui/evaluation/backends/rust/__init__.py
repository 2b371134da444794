"""The Rust backend; it uses the runner of the C++ backend."""
