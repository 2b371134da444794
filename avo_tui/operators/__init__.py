"""Variation operators: Vary(P_t). They see the domain and the ports of this package only."""
