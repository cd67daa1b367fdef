"""The lab: a whole cluster of kiln's nodes as systemd-nspawn machines on one computer. docs/lab.md is its manual."""
