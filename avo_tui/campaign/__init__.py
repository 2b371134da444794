"""Campaigns: the process that conducts several sessions on one task. Rules: domain/campaigns.py."""
