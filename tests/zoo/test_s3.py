"""A bucket over HTTP: moto's server on loopback instead of S3."""

from __future__ import annotations

from contextlib import contextmanager

import boto3
import fsspec
import pytest
from moto.server import ThreadedMotoServer

from attn_inject.errors import FileError
from attn_inject.zoo.place import open_place
from attn_inject.zoo.remote_place import RemotePlace

FILE = "factory/tests.zoo.factories-tiny.se.pt"


@contextmanager
def at_endpoint(endpoint, monkeypatch):
    """A client of the S3 at an address, which has an empty bucket; fsspec uses the same address."""
    for name, value in {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    fsspec.filesystem("s3").clear_instance_cache()
    client = boto3.client("s3", endpoint_url=endpoint)
    client.create_bucket(Bucket="models")
    yield client
    fsspec.filesystem("s3").clear_instance_cache()


@pytest.fixture
def bucket(monkeypatch):
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with at_endpoint(f"http://{host}:{port}", monkeypatch) as client:
        yield client
    server.stop()


def keys(client):
    return {item["Key"]: item["Size"] for item in client.list_objects_v2(Bucket="models").get("Contents", [])}


def test_a_zoo_in_a_bucket_and_its_resume(zoo, bucket):
    options = {"out_dir": "s3://models/zoo", "jobs": 1}
    first = zoo("tiny", "plain", **options)
    found = keys(bucket)
    assert found[f"zoo/{FILE}"] == first["tiny"].size
    assert {"zoo/index.json", "zoo/summary.csv", "zoo/README.md", "zoo/index.html"} < found.keys()
    assert sum(key.startswith("zoo/ledger/") for key in found) == 4
    assert not any("check" in key or "scratch" in key for key in found)

    assert {name: record.reused for name, record in zoo("tiny", **options).items()} == {"tiny": True}

    content = bucket.get_object(Bucket="models", Key=f"zoo/{FILE}")["Body"].read()
    bucket.put_object(Bucket="models", Key=f"zoo/{FILE}", Body=content[:-1] + b"?")
    again = zoo("tiny", **options)["tiny"]
    assert (again.reused, again.digest) == (False, first["tiny"].digest)
    assert bucket.get_object(Bucket="models", Key=f"zoo/{FILE}")["Body"].read() == content


def test_a_bucket_that_is_not_there_is_found_before_the_first_model(zoo, bucket):
    with pytest.raises(FileError, match=r"^s3://elsewhere/zoo cannot be used"):
        zoo("tiny", out_dir="s3://elsewhere/zoo")


def test_what_a_place_promises(bucket, tmp_path):
    place = open_place("s3://models/a/b")
    assert isinstance(place, RemotePlace)
    assert place.is_shared
    assert place.sizes() == {}
    place.check()
    place.write("x/y.txt", b"hello")
    assert place.sizes() == {"x/y.txt": 5}
    assert place.read("x/y.txt") == b"hello"
    assert place.stored("x/y.txt").size == 5
    place.rename("x/y.txt", "x/z.txt")
    assert place.sizes() == {"x/z.txt": 5}
    place.rename("x/z.txt", "x/y.txt")
    place.remove("x/y.txt")
    place.remove("x/y.txt")
    assert place.sizes() == {}
