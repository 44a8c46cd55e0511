"""How gunicorn serves the web application."""

# https://docs.gunicorn.org/en/stable/settings.html

import os

# Flask, Bolt and psycopg block; threads are cheap where most of the time is waiting. How many: WEB_THREADS.
worker_class = "gthread"
# One process serves some hundred messages a second; a second one helps where a machine has cores to spare.
workers = int(os.environ.get("WEB_PROCESSES", "1"))
# A turn takes milliseconds and waits for a locked conversation for 15 s at most; Twilio itself gives up after 15 s.
timeout = 30
# Below the 25 s after which `serve`, systemd and compose kill; requests take far less.
graceful_timeout = 15
# Longer than a proxy needs between two requests of one page, shorter than its own patience with an idle connection.
keepalive = 5
# Twilio's and people's requests are small; what is larger is refused before Python sees it.
limit_request_line = 4094
limit_request_fields = 60
limit_request_field_size = 8190
# Of no proxy: by default one on this machine may pass on SCRIPT_NAME and PATH_INFO, which a visitor may have written to
# get round what the proxy closes. Where a request came from is bot.web.proxies' to say.
forwarded_allow_ips = ""
# The heartbeat file must not wait for a disk: where it blocks for seconds, the arbiter kills a healthy worker.
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108, PTH112
# bot.log writes what is worth it; an access log would hold the addresses of one-time links.
accesslog = None
errorlog = "-"
# At info each start and stop of a worker is a line; what goes wrong is a warning at least.
loglevel = "warning"
proc_name = "ally-web"
# A socket by which others could command it; nobody here does.
control_socket_disable = True


def worker_exit(server, worker):  # noqa: ANN001, ANN201, ARG001, D103 - gunicorn's own hook
    from bot.wsgi import close  # noqa: PLC0415 - in the process that served

    close()
