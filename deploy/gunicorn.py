"""How gunicorn serves the web application. No `preload_app`: a pool of open connections must not be forked."""

import os

worker_class = "gthread"
workers = int(os.environ.get("WEB_PROCESSES", "1"))
timeout = 30
graceful_timeout = 15
keepalive = 5
# Twilio's and people's requests are small; what is larger is refused before Python sees it.
limit_request_line = 4094
limit_request_fields = 60
limit_request_field_size = 8190
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108, PTH112
accesslog = None  # bot.log writes what is worth it; an access log would hold the addresses of one-time links
errorlog = "-"
loglevel = "warning"
proc_name = "ally-web"
control_socket_disable = True


def worker_exit(server, worker):  # noqa: ANN001, ANN201, ARG001, D103 - gunicorn's own hook
    from bot.wsgi import close  # noqa: PLC0415 - in the process that served

    close()
