"""The command `segment-engine`: a module per command group, loaded when its command is called."""
