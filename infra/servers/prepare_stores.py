"""Makes what the servers expect to find: a PostgreSQL database for each of them, and the bucket of artifacts and
stages.

Run before them, as often as one likes: what is there already stays as it is. Reads POSTGRES_HOST (HOST:PORT),
POSTGRES_USER, POSTGRES_PASSWORD, HONE_BUCKET, and AWS_ENDPOINT_URL and the other AWS_*.
"""

import os
import sys
import time
from collections.abc import Callable

DATABASES = ("prefect", "mlflow")
PATIENCE_SECONDS = 120


def make_databases() -> None:
    """Creates those of DATABASES that are missing."""
    import psycopg
    from psycopg import sql

    host, _, port = os.environ["POSTGRES_HOST"].rpartition(":")
    with psycopg.connect(
        host=host,
        port=port,
        user=os.environ["POSTGRES_USER"],
        password=os.environ["POSTGRES_PASSWORD"],
        dbname="postgres",
        connect_timeout=5,
        autocommit=True,
    ) as connection:
        there = {name for (name,) in connection.execute("SELECT datname FROM pg_database")}
        for name in DATABASES:
            if name not in there:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def make_bucket() -> None:
    """Creates the bucket unless it is there, and sees that it can be written: MLflow would try for many minutes."""
    import boto3

    store = boto3.client("s3")
    wanted = os.environ["HONE_BUCKET"]
    if wanted not in {bucket["Name"] for bucket in store.list_buckets()["Buckets"]}:
        store.create_bucket(Bucket=wanted)
    store.put_object(Bucket=wanted, Key="prepared", Body=b"written and deleted by prepare_stores.py")
    store.delete_object(Bucket=wanted, Key="prepared")


def main() -> None:
    """Waits for both stores, for they start at the same time as this."""
    for make in (make_databases, make_bucket):
        _persist(make)


def _persist(make: Callable[[], None]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            make()
        except KeyError as error:
            sys.exit(f"{make.__name__}: set {error.args[0]}")
        except Exception as error:  # noqa: BLE001 - two drivers, and each has its own words for "not yet"
            if time.monotonic() > deadline:
                sys.exit(f"{make.__name__}: gave up after {PATIENCE_SECONDS} s: {error}")
            time.sleep(1)
        else:
            return


if __name__ == "__main__":
    main()
