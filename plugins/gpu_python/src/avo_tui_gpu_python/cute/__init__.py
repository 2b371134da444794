"""CuTe DSL candidates: a front end beside Triton's, over CUDA's harness."""
