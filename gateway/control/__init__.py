"""The control socket: how the web process (and a person's shell) asks the gateway to do something."""
