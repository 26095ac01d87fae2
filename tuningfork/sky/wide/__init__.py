"""The simulated sky of the wide surveys: one sky, seen by SDSS, DES, HSC, the Legacy Surveys and unWISE."""
