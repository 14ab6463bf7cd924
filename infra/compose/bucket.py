"""Makes the bucket of MLflow's artifacts, unless it is there."""

import os

import boto3

client = boto3.client("s3", endpoint_url=os.environ["MLFLOW_S3_ENDPOINT_URL"])
names = [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]
if "mlflow" not in names:
    client.create_bucket(Bucket="mlflow")
