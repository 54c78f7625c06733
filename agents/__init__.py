"""The organisation, the messages, the ranks and the department process."""
