"""pytracking's own way: a Flask view that decodes the tracking URL and stores the open in SQLite (WAL).

Runs in a throw-away environment: `python flask_pixel.py PORT DATABASE CORE`. Imports nothing of mailbell.
"""

import os
import sqlite3
import sys
import threading

import pytracking
from flask import Flask, Response, request
from pytracking import Configuration

PORT, DATABASE, CORE = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
os.sched_setaffinity(0, {CORE})
app = Flask(__name__)
local = threading.local()
configuration = Configuration(base_open_tracking_url="http://localhost/o/")
encoded = pytracking.get_open_tracking_url({"mail": 1}, configuration=configuration).rpartition("/o/")[2]
pixel, mime = pytracking.get_open_tracking_pixel()


def connection():
    if not hasattr(local, "connection"):
        local.connection = sqlite3.connect(DATABASE, timeout=30)
        local.connection.execute("PRAGMA journal_mode=WAL")
        local.connection.execute("PRAGMA synchronous=FULL")
        local.connection.execute(
            "CREATE TABLE IF NOT EXISTS hit"
            " (id INTEGER PRIMARY KEY, at TEXT, token TEXT, agent TEXT, address TEXT, metadata TEXT)"
        )
    return local.connection


@app.get("/o/<token>")
def opened(token):
    result = pytracking.get_open_tracking_result(encoded, configuration=configuration)
    with connection() as one:
        one.execute(
            "INSERT INTO hit (at, token, agent, address, metadata) VALUES (datetime('now'), ?, ?, ?, ?)",
            (token, request.headers.get("User-Agent"), request.remote_addr, str(result.metadata)),
        )
    return Response(pixel[:-2] + b"\x00;" if not pixel.endswith(b"\x00;") else pixel, mimetype="image/gif")


if __name__ == "__main__":
    connection()
    print("ready", flush=True)
    from waitress import serve

    serve(app, host="127.0.0.1", port=PORT, threads=8, backlog=1024, _quiet=True)
