"""The running engine: the app, intake, agents, commit, restore, clock."""
