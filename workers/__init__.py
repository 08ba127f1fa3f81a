"""How work is run: the Celery application, the front door, the settings and the commands."""
