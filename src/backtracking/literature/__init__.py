"""The claims of published studies, put to this study's results: one module per study."""
