"""Grafana's provisioning files: what they may hold, and what is wrong with those that we ship.

`scripts/check-provisioning` is the way in. The formats are those of Grafana 9 to 13.
"""
