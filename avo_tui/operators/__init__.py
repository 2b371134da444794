"""Variation operators: Vary(P_t). They import only the domain and the ports of this package."""
