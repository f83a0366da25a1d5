"""Runs in: the tests. The OS keychain: a real gnome-keyring in a private D-Bus session."""
